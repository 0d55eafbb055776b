// The one error that reading or writing a safetensors file raises, whatever is wrong with the bytes.

/** A file that is not valid safetensors, or a tensor that is not in it as asked. */
export class SafetensorsError extends Error {
  override readonly name = "SafetensorsError";
  /** The file (or other source) at fault. */
  readonly file: string;
  /** The tensor at fault, where there is one. */
  readonly tensor: string | undefined;

  /**
   * @param file the file at fault
   * @param problem what was found and what is allowed
   * @param options the tensor at fault, and the cause when another error lies beneath
   */
  constructor(file: string, problem: string, options: { tensor?: string; cause?: unknown } = {}) {
    const where = options.tensor === undefined ? file : `${file}: tensor ${quote(options.tensor)}`;
    super(`${where}: ${problem}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.file = file;
    this.tensor = options.tensor;
  }
}

/** A value from a file, quoted and kept short enough to print. */
export function quote(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    return "a deeply nested value"; // too deep for JSON.stringify, which recurses; JSON.parse does not
  }
  return text.length <= 120 ? text : `${text.slice(0, 100)}… (${text.length} characters)`;
}
