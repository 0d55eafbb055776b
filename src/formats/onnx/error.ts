// What goes wrong on the way to an ONNX file.

/** A model that can't be written as asked: an op without a form in a dialect, a state without a place. */
export class OnnxError extends Error {
  override name = "OnnxError";
}
