// Numbers on the command line.
import { InvalidArgumentError } from "commander";

/** A parser of whole numbers from `minimum`. */
export function wholeNumber(minimum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,16}$/.test(text) || value < minimum || !Number.isSafeInteger(value)) {
      throw new InvalidArgumentError(`"${text}" is not a whole number of at least ${minimum}.`);
    }
    return value;
  };
}

/** A parser of numbers that `allows` takes; `allowed` says in words which these are. */
export function number(allowed: string, allows: (value: number) => boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || !allows(value)) {
      throw new InvalidArgumentError(`"${text}" is not allowed; allowed: ${allowed}.`);
    }
    return value;
  };
}
