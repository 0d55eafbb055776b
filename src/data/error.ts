// The error that the data room raises for anything a user can mend: a file, a field, a size.

/** Data, a tokenizer or a task that cannot be used as asked. The message says where, what was found, what is allowed. */
export class DataError extends Error {
  override readonly name = "DataError";
}
