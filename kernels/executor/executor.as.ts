// The executor: every thread runs the whole list of commands in lockstep, with barriers between commands that depend on
// each other, so that one step of a program costs one call from JavaScript.
//
// program: [command count, then per command: function table index, barrier before it (0 or 1), argument words n, n words]
// control: 320 bytes, zero at first, one cache line each: job number, program address (0 ends the workers), arrivals at
// barriers (64 bits), sleepers, whether a thread has failed; beside the last, the table index of sleepWhile.

const JOB: usize = 0;
const PROGRAM: usize = 64;
const ARRIVALS: usize = 128;
const SLEEPERS: usize = 192;
const FAILED: usize = 256;
const SLEEP_FUNCTION: usize = 260;
/** Spins before a thread goes to sleep: about 50 µs. */
const SPINS: i32 = 20000;
/** Nanoseconds after which a sleeping thread looks again, whatever happens. */
const NAP: i64 = 100000000;

/**
 * Sleeps until the word at `address` differs from `value`, or NAP is over. Called through the table by the index in the
 * control block, so that no optimiser can inline it: V8 11.3's baseline compiler spills a wait's address as 64 bits into a
 * 32-bit slot, which zeroes a neighbouring local. Here there is none that matters.
 */
export function sleepWhile(address: usize, value: i32): void {
  atomic.wait<i32>(address, value, NAP);
}

/** One more look at a word that has not changed: spins, and after a while sleeps if this thread may. */
// @ts-ignore: decorator
@inline
function pause(control: usize, address: usize, value: i32, spins: i32, maySleep: bool): void {
  if (spins < SPINS) return;
  // A thread whose kernel trapped never arrives: trap here as well instead of waiting for it.
  if (atomic.load<i32>(control + FAILED) != 0) unreachable();
  if (!maySleep) return;
  atomic.add<i32>(control + SLEEPERS, 1);
  call_indirect<void>(load<i32>(control + SLEEP_FUNCTION), address, value);
  atomic.sub<i32>(control + SLEEPERS, 1);
}

// @ts-ignore: decorator
@inline
function wake(control: usize, address: usize): void {
  if (atomic.load<i32>(control + SLEEPERS) != 0) atomic.notify(address, -1);
}

/** Waits until every thread has arrived. Arrivals are counted for ever: the n-th round is over when n · threads have come. */
function barrier(control: usize, threads: i32, maySleep: bool): void {
  if (threads == 1) return;
  const address = control + ARRIVALS;
  const ticket = atomic.add<i64>(address, 1);
  const target = ticket - (ticket % threads) + threads;
  if (ticket + 1 == target) {
    wake(control, address);
    return;
  }
  let spins = 0;
  while (true) {
    const arrived = atomic.load<i64>(address);
    if (arrived >= target) return;
    pause(control, address, <i32>arrived, ++spins, maySleep);
  }
}

function execute(program: usize, control: usize, thread: i32, threads: i32, maySleep: bool): void {
  const count = load<i32>(program);
  let command = program + 4;
  for (let i = 0; i < count; i++) {
    if (load<i32>(command + 4) != 0) barrier(control, threads, maySleep);
    call_indirect<void>(load<i32>(command), command + 12, thread, threads);
    command += 12 + (load<i32>(command + 8) << 2);
  }
  barrier(control, threads, maySleep);
}

/** Runs a program on all threads; the caller is thread 0. `maySleep` is 0 on a browser's main thread, which must not wait. */
export function runProgram(program: usize, control: usize, threads: i32, maySleep: i32): void {
  if (threads > 1) {
    store<u32>(control + PROGRAM, <u32>program);
    atomic.add<i32>(control + JOB, 1);
    wake(control, control + JOB);
  }
  execute(program, control, 0, threads, maySleep != 0);
}

/** A worker's life: run every job that comes, until one has no program. */
export function runWorker(control: usize, thread: i32, threads: i32, job: i32): void {
  let last = job;
  while (true) {
    let spins = 0;
    while (atomic.load<i32>(control + JOB) == last) pause(control, control + JOB, last, ++spins, true);
    last = atomic.load<i32>(control + JOB);
    const program = <usize>load<u32>(control + PROGRAM);
    if (program == 0) return;
    execute(program, control, thread, threads, true);
  }
}

/** A thread's kernel has trapped: nobody is to wait for it. */
export function markFailed(control: usize): void {
  atomic.store<i32>(control + FAILED, 1);
}

/** Tells the workers to end. */
export function stopWorkers(control: usize): void {
  store<u32>(control + PROGRAM, 0);
  atomic.add<i32>(control + JOB, 1);
  atomic.notify(control + JOB, -1);
}
