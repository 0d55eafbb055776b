// The safetensors room: what other rooms may use of it. Files on disk are under node/.
export {
  bytesOf,
  DTYPES,
  type Dtype,
  dtypeBytes,
  type FloatDtype,
  fromFloat32,
  type TensorArray,
  toFloat32,
} from "./dtype.ts";
export { SafetensorsError } from "./error.ts";
export { MAX_HEADER_BYTES, type TensorInfo } from "./header.ts";
export { type ElementRange, openSafetensors, Safetensors } from "./reader.ts";
export { type ByteSink, blobSource, memorySource, type RandomAccessSource } from "./source.ts";
export { encodeSafetensors, type TensorPieces, type TensorToWrite, writeSafetensors } from "./writer.ts";
