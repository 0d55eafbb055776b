// Where safetensors bytes come from and go to: random-access sources and sequential sinks. Files are under node/.

/** Bytes that can be read at any offset. */
export interface RandomAccessSource {
  /** For error messages: a path, URL or any other name. */
  readonly name: string;
  /** Total bytes. */
  readonly size: number;
  /** `length` bytes from `offset`, in memory that the caller may keep; fewer only where the source ends early. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Bytes written one after another. */
export interface ByteSink {
  /** Takes `bytes`, which may be reused once the promise resolves. */
  write(bytes: Uint8Array): Promise<void>;
}

/** A source over bytes in memory. */
export function memorySource(bytes: Uint8Array, name = "memory"): RandomAccessSource {
  return {
    name,
    size: bytes.byteLength,
    read: async (offset, length) => bytes.slice(offset, offset + length),
  };
}

/** A source over a Blob or a File that a user chose in a browser; nothing but what is asked for is read. */
export function blobSource(blob: Blob, name = "blob"): RandomAccessSource {
  return {
    name,
    size: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  };
}
