"""The Python peers behind the same line protocol as the others: a question on stdin, its answer on stdout.

    python3 driver.py multiprocessing|executor|mpire|loky|joblib

The interpreter's own start is outside of what is timed. Each question is answered as `shared/contender.rs` answers it.
"""

import array
import concurrent.futures
import functools
import math
import multiprocessing
import os
import sys
import threading
import time

LOAD_MICROS, PREDICT_MICROS = 50_000.0, 2_000.0


# ---- the functions that items are put through

def noop(x):
    return x + 1


def work(steps):
    for _ in range(steps):
        pass
    return steps


@functools.cache
def steps_per_micro():
    def rate():
        start = time.perf_counter()
        work(1_000_000)
        return 1_000_000 / (time.perf_counter() - start) / 1e6
    return max(rate() for _ in range(10))


def steps(micros):
    return max(1, round(micros * steps_per_micro()))


def ends(vector):
    """Adding it all up would cost an interpreter more than moving it."""
    return vector[0] + vector[-1] + len(vector)


def fill(seed, length):
    return array.array('d', [seed]) * length


def pause(micros):
    time.sleep(micros / 1e6)


def echo(payload):
    return payload


class Numbers:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return ((self.state >> 33) + 0.5) / 2**31


def uneven(n, total):
    numbers = Numbers(42)
    raw = [numbers.next() ** (-1 / 1.2) for _ in range(n)]
    return [steps(time * total / sum(raw)) for time in raw]


def convolve(image, taps):
    """Only the outputs that are kept: computing all of them would make the comparison one of interpreters."""
    side = math.isqrt(len(image))
    return array.array('d', [
        sum(image[(y + i) * side + x + j] * taps[4 * i + j] for i in range(4) for j in range(4))
        for y in range(0, side - 3, 5) for x in range(0, side - 3, 5)])


def document(number, words):
    numbers = Numbers(number + 1)
    return bytes(int(numbers.next() * 256) for _ in range(words * 20))


def count(seen, text):
    popular = []
    for at in range(0, len(text), 20):
        for end in range(1, 20):
            prefix = text[at:at + end]
            seen[prefix] = seen.get(prefix, 0) + 1
            if seen[prefix] == 4:
                popular.append(prefix)
    return popular


SEEN, MODEL = {}, []


def prefixes(text):
    return count(SEEN, text)


def load():
    work(steps(LOAD_MICROS))
    return array.array('d', range(784 * 512))


def predict(x):
    if not MODEL:
        MODEL.append(load())
    work(steps(PREDICT_MICROS))
    return MODEL[0][x % len(MODEL[0])]


# ---- the pools

class Multiprocessing:
    def __init__(self, workers):
        self.workers, self.pool = workers, multiprocessing.get_context('fork').Pool(workers)

    def map(self, function, items, chunk=0):
        return self.pool.map(function, items, chunksize=chunk or None)

    def call(self, function, x):
        return self.pool.apply(function, (x,))

    def end(self):
        self.pool.close()
        self.pool.join()


class Executor:
    def __init__(self, workers):
        self.workers = workers
        self.pool = self.make(workers)

    def make(self, workers):
        context = multiprocessing.get_context('fork')
        return concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)

    def map(self, function, items, chunk=0):
        chunk = chunk or max(1, -(-len(items) // (4 * self.workers)))
        return list(self.pool.map(function, items, chunksize=chunk))

    def call(self, function, x):
        return self.pool.submit(function, x).result()

    def end(self):
        self.pool.shutdown()


class Loky(Executor):
    def make(self, workers):
        import loky
        return loky.ProcessPoolExecutor(workers)


class Mpire(Multiprocessing):
    def __init__(self, workers):
        import mpire
        self.workers, self.pool = workers, mpire.WorkerPool(workers, keep_alive=True)

    def map(self, function, items, chunk=0):
        return self.pool.map(function, list(items), chunk_size=chunk or None)

    def end(self):
        self.pool.stop_and_join()


class Joblib:
    def __init__(self, workers):
        import joblib
        self.workers, self.delayed = workers, joblib.delayed
        self.pool = joblib.Parallel(n_jobs=workers)
        self.exact = joblib.Parallel(n_jobs=workers, batch_size=1)

    def map(self, function, items, chunk=0):
        return (self.exact if chunk else self.pool)(self.delayed(function)(item) for item in items)

    def call(self, function, x):
        return self.pool([self.delayed(function)(x)])[0]

    def end(self):
        from joblib.externals.loky import get_reusable_executor
        get_reusable_executor().shutdown()


# ---- the questions

def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def median_and_tail(times):
    times.sort()
    return [times[len(times) // 2], times[len(times) * 99 // 100]]


def cores(workers):
    return min(workers, len(os.sched_getaffinity(0)))


def start(make, job):
    def once():
        pool = make(job.workers)
        pool.map(noop, range(job.n), 1)
        pool.end()
    return [seconds(once) for _ in range(job.reps)]


def map_(pool, job):
    pool.map(noop, range(job.n), job.chunk)
    return [seconds(lambda: pool.map(noop, range(job.n), job.chunk)) for _ in range(job.reps)]


def apply(pool, job):
    times = []
    for x in range(-min(100, job.n), job.n):
        if x >= 0 and job.micros:
            time.sleep(job.micros / 1e6)
        took = seconds(lambda: pool.call(noop, x))
        if x >= 0:
            times.append(took)
    return median_and_tail(times)


def grain(pool, job):
    items = [steps(job.micros)] * job.n
    pool.map(work, items[:100], job.chunk)
    best = ideal(pool, sum(items), job.workers)
    return [best / seconds(lambda: pool.map(work, items, job.chunk)) for _ in range(job.reps)]


def ideal(pool, count, workers):
    """What can be had, at this moment: the same work in equal shares, one a core, the pool's own cost left out."""
    share = count // cores(workers)
    return min(max(pool.map(timed, [share] * cores(workers), 1)) for _ in range(2))


def timed(count):
    return seconds(lambda: work(count))


def owned(pool, job):
    vectors = [fill(i, job.bytes // 8) for i in range(job.n)]
    pool.map(noop, range(100), 1)
    return [seconds(lambda: pool.map(ends, vectors, 1)) for _ in range(3)]


def results(pool, job):
    pool.map(noop, range(100), 1)
    make = functools.partial(fill, length=job.bytes // 8)
    return [seconds(lambda: pool.map(make, range(job.n), 1)) for _ in range(3)]


def uneven_(pool, job):
    items = uneven(job.n, job.micros)
    pool.map(work, [1] * 100, 1)
    best = ideal(pool, sum(items), job.workers)
    return [seconds(lambda: pool.map(work, items, job.chunk)) / best for _ in range(job.reps)]


def sleeps(make, job):
    begun = time.perf_counter()
    pool = make(job.workers)
    pool.map(pause, [job.micros] * job.n, 1)
    cold = time.perf_counter() - begun
    warm = seconds(lambda: pool.map(pause, [job.micros] * job.n, 1))
    pool.end()
    return [cold, warm]


def idle(pool, job):
    pool.map(noop, range(1000), 1)
    time.sleep(0.2)
    begun, before = time.perf_counter(), cpu_seconds()
    time.sleep(job.micros / 1e6)
    return [(cpu_seconds() - before) / (time.perf_counter() - begun)]


def cpu_seconds():
    def nanos(directory):
        total = 0
        for thread in set(os.listdir(f'{directory}/task')) - {str(threading.get_native_id())}:
            with open(f'{directory}/task/{thread}/schedstat') as file:
                total += int(file.read().split()[0])
        return total
    children = []
    for thread in os.listdir('/proc/self/task'):
        with open(f'/proc/self/task/{thread}/children') as file:
            children += file.read().split()
    return (nanos('/proc/self') + sum(nanos(f'/proc/{pid}') for pid in children)) / 1e9


def echo_(pool, job):
    payloads = [bytes([i % 256]) * job.bytes for i in range(job.n)]
    pool.map(echo, payloads, 1)
    return [job.n / seconds(lambda: pool.map(echo, payloads, 1)) for _ in range(job.reps)]


def numerical(make, job):
    numbers = Numbers(7)
    taps = [[numbers.next() - 0.5 for _ in range(16)] for _ in range(job.n)]
    image = array.array('d', [0.0]) * (job.bytes // 8)
    serial = seconds(lambda: [convolve(image, each) for each in taps])
    pool = make(job.workers)
    pool.map(noop, range(100), 1)
    times = [seconds(lambda: pool.map(functools.partial(convolve, image), taps)) for _ in range(job.reps)]
    pool.end()
    return [serial / took for took in times]


def stateful(make, job):
    def documents():
        return [document(i, job.bytes // 20) for i in range(job.n)]

    def union(popular):
        return len({prefix for each in popular for prefix in each})
    seen = {}
    serial = seconds(lambda: union([count(seen, text) for text in documents()]))
    ratios = []
    for _ in range(job.reps):
        pool = make(job.workers)
        pool.map(noop, range(100), 1)
        ratios.append(serial / seconds(lambda: union(pool.map(prefixes, documents(), 1))))
        pool.end()
    return ratios


def costly(make, job):
    def alone():
        load()
        for _ in range(job.n):
            work(steps(PREDICT_MICROS))
    serial, ratios = seconds(alone), []
    for _ in range(job.reps):
        pool = make(job.workers)
        pool.map(noop, range(100), 1)
        rounds = lambda: [pool.map(predict, range(job.n // 10), 1) for _ in range(10)]
        ratios.append(serial / seconds(rounds))
        pool.end()
    return ratios


WITHOUT_POOL = {'start': start, 'sleeps': sleeps, 'numerical': numerical, 'stateful': stateful, 'costly': costly}
WITH_POOL = {'map': map_, 'apply': apply, 'grain': grain, 'owned': owned, 'results': results,
             'uneven': uneven_, 'idle': idle, 'echo': echo_}
POOLS = {'multiprocessing': Multiprocessing, 'executor': Executor, 'mpire': Mpire, 'loky': Loky, 'joblib': Joblib}


class Job:
    def __init__(self, line):
        self.kind, *words = line.split()
        for word in words:
            key, value = word.split('=')
            setattr(self, key, float(value) if key == 'micros' else int(value))


def answer(make, job):
    if job.kind in WITHOUT_POOL:
        return WITHOUT_POOL[job.kind](make, job)
    if job.kind not in WITH_POOL:
        raise LookupError('has no borrowed parameters' if job.kind == 'lent' else f'there is no `{job.kind}`')
    pool = make(job.workers)
    try:
        return WITH_POOL[job.kind](pool, job)
    finally:
        pool.end()


def main():
    make = POOLS[sys.argv[1]]
    steps_per_micro()
    for line in sys.stdin:
        try:
            print('ok', *(f'{value:e}' for value in answer(make, Job(line))), flush=True)
        except Exception as error:  # the harness says why there is no figure
            print('skip', ' '.join(str(error).split()), flush=True)


if __name__ == '__main__':
    main()
