// Mistakes in the use of a model.

/** Token ids, states, files or options that do not fit a model; the message says what was found and what is allowed. */
export class ModelError extends Error {
  override name = "ModelError";
}
