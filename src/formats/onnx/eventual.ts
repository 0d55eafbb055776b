// Values that are there, or come when a file has been read.

export type Eventual<T> = T | Promise<T>;

/** `change` of a value, at once where it is there. */
export function after<T, U>(value: Eventual<T>, change: (value: T) => U): Eventual<U> {
  return value instanceof Promise ? value.then(change) : change(value);
}
