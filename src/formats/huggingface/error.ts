// The one error that reading or writing Hugging Face checkpoints raises: a folder, file or architecture that can't be
// converted, with everything that stands in the way.

/** A checkpoint or an architecture that can't be converted. */
export class HuggingFaceError extends Error {
  override readonly name = "HuggingFaceError";
  /** What is wrong, one entry each. */
  readonly problems: readonly string[];

  /**
   * @param where the file, folder or architecture at fault
   * @param problems what was found and what is allowed; one or more
   */
  constructor(where: string, problems: readonly string[] | string, options: ErrorOptions = {}) {
    const list = typeof problems === "string" ? [problems] : problems;
    const [only = "can't be converted"] = list;
    super(
      list.length === 1 ? `${where}: ${only}` : `${where}:\n${list.map((line) => `  - ${line}`).join("\n")}`,
      options,
    );
    this.problems = list;
  }
}

/** At most `limit` of a list, and how many more there are. */
export function shorten(items: readonly string[], limit = 8): string {
  const shown = items.slice(0, limit).join(", ");
  return items.length > limit ? `${shown} and ${items.length - limit} more` : shown;
}
