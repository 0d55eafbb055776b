// Working memory in as many buffers as the device's limit on buffers asks for: one, nearly always.
import { packArena, type Request } from "../../graph/plan.ts";
import { RuntimeError } from "../types.ts";

export type ArenaRequest = Request;

export interface ArenaPacking {
  /** Bytes of each arena. */
  readonly sizes: readonly number[];
  /** Which arena each request is in, and where. */
  readonly places: readonly { readonly arena: number; readonly offset: number }[];
}

/** Packs requests by lifetime; where one arena would be larger than `limit`, requests are divided among several. */
export function packArenas(requests: readonly ArenaRequest[], alignment: number, limit: number): ArenaPacking {
  const sizes: number[] = [];
  const places = new Array<{ arena: number; offset: number }>(requests.length);
  const place = (indices: readonly number[]): void => {
    const chosen = indices.flatMap((i) => requests[i] ?? []);
    const { offsets, size } = packArena(chosen, alignment);
    if (size <= limit) {
      const arena = sizes.push(Math.max(size, alignment)) - 1;
      for (const [k, i] of indices.entries()) places[i] = { arena, offset: offsets[k] ?? 0 };
      return;
    }
    if (indices.length === 1) {
      throw new RuntimeError(`a tensor of ${size} bytes is wanted, but this device has buffers of at most ${limit}`);
    }
    // The largest requests in turn: both halves get their share of each size.
    const bySize = [...indices].sort((a, b) => (requests[b]?.bytes ?? 0) - (requests[a]?.bytes ?? 0));
    place(bySize.filter((_, k) => k % 2 === 0));
    place(bySize.filter((_, k) => k % 2 === 1));
  };
  place(requests.map((_, i) => i));
  return { sizes, places };
}
