# SPDX-License-Identifier: GPL-3.0-or-later
"""make bench: how long a checkpoint stops a process, as the process feels it, beside gdb's gcore and criu in the same run.

BENCH_REPEAT, BENCH_SIZES, BENCH_WRITES make it smaller; BENCH_DIR is where images go (/dev/shm: no disk in the figures)."""

import csv
import json
import mmap
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import plot

CKPTVIEW = os.path.abspath(os.environ.get('CKPTVIEW', 'build/ckptview'))
WATCH = os.path.join(os.path.abspath(os.environ.get('BENCH', 'build/tests/bench')), 'clockwatch')
OUT = os.path.join(os.path.abspath(os.environ.get('BUILD', 'build')), 'bench')
REPEAT = int(os.environ.get('BENCH_REPEAT', '5'))
SIZES = [int(x) for x in os.environ.get('BENCH_SIZES', '64 256 1024').split()]
WRITES = [int(x) for x in os.environ.get('BENCH_WRITES', '0 1000 10000').split()]
WORK = tempfile.mkdtemp(prefix='ckptview-bench-', dir=os.environ.get('BENCH_DIR', '/dev/shm'))
GAPS, HEAD = 8192, 64


class Watched:
    """A clockwatch process and the page it shares with us."""

    def __init__(self, mib, writes):
        self.path = os.path.join(WORK, f'watch-{mib}-{writes}')
        self.proc = subprocess.Popen([WATCH, self.path, str(mib), str(writes)], stdin=subprocess.DEVNULL)
        self.pid = self.proc.pid
        while not os.path.exists(self.path) or os.path.getsize(self.path) < HEAD:
            time.sleep(0.01)
        self.map = mmap.mmap(os.open(self.path, os.O_RDWR), HEAD + GAPS * 16)
        while not self.word(0):
            time.sleep(0.01)

    def word(self, i):
        return struct.unpack_from('<Q', self.map, 8 * i)[0]

    def reset(self):
        struct.pack_into('<Q', self.map, 16, 1)
        while self.word(2):
            time.sleep(0.0005)

    def gaps(self):
        n = min(self.word(4), GAPS)
        return [struct.unpack_from('<QQ', self.map, HEAD + 16 * i) for i in range(n)]

    def close(self):
        self.proc.kill()
        self.proc.wait()
        os.unlink(self.path)


def stop_times(events):
    """When the stop began and ended, from a recorded stream."""
    begin = end = None
    with open(events, 'rb') as f:
        while len(record := f.read(64)) == 64:
            t, kind = struct.unpack_from('<QI', record)
            if kind == 5:
                begin = t
            elif kind == 6:
                end = t
    return begin, end


def by_ckptview(engine):
    def run(w, path):
        events = path + '.events'
        out = subprocess.run([CKPTVIEW, 'save', '--json', '-p', str(w.pid), '--engine', engine, '-o', path, '--events', events],
            check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
        j = json.loads(out)
        begin, end = stop_times(events)
        os.unlink(events)
        # The gap in which the stop lies: what the process felt of it.
        felt = [b - a for a, b in w.gaps() if a <= end and b >= begin]
        return {'stop': j['stop_ns'], 'felt_stop': max(felt, default=0), 'window': j['window_ns'],
            'p50': j.get('stall_p50_ns', 0), 'p99': j.get('stall_p99_ns', 0), 'max': j.get('stall_max_ns', 0),
            'stalls': j.get('stalls', 0)}
    return run


def by_gcore(w, path):
    subprocess.run(['gdb', '-nx', '-batch', '-p', str(w.pid), '-ex', f'gcore {path}', '-ex', 'detach'], check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return {}


def by_criu(w, path):
    os.makedirs(path)
    subprocess.run(['criu', 'dump', '-t', str(w.pid), '-D', path, '--leave-running', '--shell-job'], check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return {}


def by_nothing(w, path):
    """What the machine itself does to the watcher: as long as a checkpoint takes, and nothing happens."""
    time.sleep(0.3)
    return {}


def size_of(path):
    if os.path.isdir(path):
        return sum(os.path.getsize(os.path.join(path, f)) for f in os.listdir(path))
    return os.path.getsize(path) if os.path.exists(path) else 0


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


def measure(w, run):
    path = os.path.join(WORK, 'image')
    remove(path)
    time.sleep(0.1)
    w.reset()
    begin = time.monotonic_ns()
    more = run(w, path)
    total = time.monotonic_ns() - begin
    time.sleep(0.02)
    row = {'felt': w.word(3), 'total': total, 'image': size_of(path), **more}
    remove(path)
    return row


def contestants():
    found = {'nothing': by_nothing, 'stop': by_ckptview('stop'), 'segv': by_ckptview('segv'), 'uffd': by_ckptview('uffd')}
    if shutil.which('gdb'):
        found['gcore'] = by_gcore
    if shutil.which('criu'):
        w = Watched(16, 0)
        try:
            measure(w, by_criu)
            found['criu'] = by_criu
        except subprocess.CalledProcessError as e:
            print(f'criu is here and cannot dump on this kernel (exit {e.returncode}): left out', file=sys.stderr)
        w.close()
    return found


def measure_all(found):
    rows = []
    for mib in SIZES:
        for writes in WRITES:
            w = Watched(mib, writes)
            time.sleep(0.3)
            for n in range(REPEAT + 1):
                for name, run in found.items():
                    row = measure(w, run)
                    if n:       # the first round warms up
                        rows.append({'mib': mib, 'writes': writes, 'how': name, 'n': n, **row})
            w.close()
            print(f'measured {mib} MiB, {writes} writes/s', file=sys.stderr)
    return rows


FIGURES = ('felt', 'felt_stop', 'stop', 'p50', 'p99', 'max', 'window', 'total', 'image')


def summary(rows):
    groups = {}
    for r in rows:
        groups.setdefault((r['mib'], r['writes'], r['how']), []).append(r)
    lines = []
    for (mib, writes, how), rs in groups.items():
        line = {'mib': mib, 'writes': writes, 'how': how}
        for f in FIGURES:
            values = [r[f] for r in rs if f in r]
            line[f] = statistics.median(values) if values else None
            line[f + '_min'] = min(values) if values else None
        lines.append(line)
    return lines


def ms(v):
    return '-' if v is None else f'{v / 1e6:.3f}' if v < 1e8 else f'{v / 1e6:.0f}'


def table(lines):
    head = f'{"MiB":>5} {"writes/s":>8} {"how":8} {"felt":>9} {"(min)":>9} {"its stop":>9} {"stop":>9} {"(min)":>9} ' \
        f'{"p50":>7} {"p99":>7} {"max":>7} {"window":>9} {"total":>9} {"(min)":>9} {"image MiB":>9}'
    text = ['Medians and minima in ms. felt: the longest gap of a thread that watches the clock; its stop: the gap that held the stop.',
        head]
    for s in lines:
        text.append(f'{s["mib"]:>5} {s["writes"]:>8} {s["how"]:8} {ms(s["felt"]):>9} {ms(s["felt_min"]):>9} {ms(s["felt_stop"]):>9} '
            f'{ms(s["stop"]):>9} {ms(s["stop_min"]):>9} {ms(s["p50"]):>7} {ms(s["p99"]):>7} {ms(s["max"]):>7} {ms(s["window"]):>9} '
            f'{ms(s["total"]):>9} {ms(s["total_min"]):>9} {s["image"] / 2**20:>9.1f}')
    return '\n'.join(text)


# ---- coming back ----

def restore_once(path, pid, beat):
    """From starting ckptview to the first beat of the process."""
    was, begin = beat(), time.monotonic_ns()
    p = subprocess.Popen([CKPTVIEW, 'restore', path], stdin=subprocess.DEVNULL)
    while beat() == was:
        if p.poll() is not None:
            raise SystemExit(f'restore: exit {p.returncode}')
    took = time.monotonic_ns() - begin
    os.kill(pid, 9)
    p.wait()
    return took


def restores(mib):
    w = Watched(mib, 1000)
    path = os.path.join(WORK, 'restore.ckpt')
    subprocess.run([CKPTVIEW, 'save', '-q', '-p', str(w.pid), '--engine', 'stop', '-o', path, '--kill'], check=True)
    w.proc.wait()
    copies, backs = [], []
    for _ in range(REPEAT):
        begin = time.monotonic_ns()
        subprocess.run(['cp', '--sparse=never', path, '/dev/shm/ckptview-bench-copy'], check=True)
        copies.append(time.monotonic_ns() - begin)
        os.unlink('/dev/shm/ckptview-bench-copy')
        backs.append(restore_once(path, w.pid, lambda: w.word(1)))
    os.unlink(path)
    os.unlink(w.path)
    return copies, backs


PYTHON_BEAT = '''
import mmap, os, sys, time
m = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 4096)
while True:
    m[0:8] = (int.from_bytes(m[0:8], "little") + 1).to_bytes(8, "little")
    time.sleep(0.0002)
'''


def restore_python():
    beat, path = os.path.join(WORK, 'beat'), os.path.join(WORK, 'python.ckpt')
    with open(beat, 'wb') as f:
        f.write(bytes(4096))
    exe = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else sys.executable
    p = subprocess.Popen([exe, '-c', PYTHON_BEAT, beat], stdin=subprocess.DEVNULL)
    m = mmap.mmap(os.open(beat, os.O_RDWR), 4096)
    while m[0:8] == bytes(8):
        time.sleep(0.01)
    subprocess.run([CKPTVIEW, 'save', '-q', '-p', str(p.pid), '-o', path, '--kill'], check=True)
    p.wait()
    return [restore_once(path, p.pid, lambda: m[0:8]) for _ in range(REPEAT)]


# ---- what it must reach ----

def goals(lines, back):
    by = {(s['mib'], s['writes'], s['how']): s for s in lines}

    def get(mib, writes, how, figure):
        s = by.get((mib, writes, how))
        return s[figure] if s else None
    felt, plain = get(1024, 1000, 'segv', 'felt_stop'), get(1024, 1000, 'stop', 'felt')
    if felt is not None and plain is not None:
        yield f'segv, 1 GiB, 1000 writes/s: felt stop {ms(felt)} ms, stop\'s {ms(plain)} ms (1/{plain / max(felt, 1):.0f})', \
            felt * 50 <= plain and felt <= 2e6
        window, copy = get(1024, 1000, 'segv', 'window'), get(1024, 1000, 'stop', 'window')
        yield f'segv, 1 GiB: window {ms(window)} ms, stop needs {ms(copy)} ms ({window / copy:.2f} times)', window <= 2.5 * copy
    ours, theirs = get(1024, 1000, 'stop', 'total'), get(1024, 1000, 'gcore', 'total')
    if ours and theirs:
        yield f'stop, 1 GiB: saved in {ms(ours)} ms, gcore in {ms(theirs)} ms', ours <= theirs
    for s in lines:
        if s['stop'] and s['felt_stop']:
            off = abs(s['stop'] - s['felt_stop'])
            if off > 50e3 and off > 0.15 * s['felt_stop']:
                yield f'{s["how"]} {s["mib"]} MiB {s["writes"]}/s: says {ms(s["stop"])} ms, felt {ms(s["felt_stop"])} ms', False
    if back:
        copies, backs, small = back
        yield f'restore, {SIZES[-1]} MiB: {ms(statistics.median(backs))} ms, cp to /dev/shm {ms(statistics.median(copies))} ms', \
            statistics.median(backs) <= statistics.median(copies)
        yield f'restore, python3: {ms(statistics.median(small))} ms', statistics.median(small) <= 40e6


def main():
    os.makedirs(OUT, exist_ok=True)
    try:
        rows = measure_all(contestants())
        back = (*restores(SIZES[-1]), restore_python())
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    lines = summary(rows)
    text = table(lines) + '\n\n' + '\n'.join(f'{"reached " if ok else "MISSED  "} {what}' for what, ok in goals(lines, back))
    print(text)
    with open(os.path.join(OUT, 'bench.txt'), 'w') as f:
        f.write(text + '\n')
    with open(os.path.join(OUT, 'bench.csv'), 'w', newline='') as f:
        out = csv.DictWriter(f, ['mib', 'writes', 'how', 'n', *FIGURES, 'stalls'])
        out.writeheader()
        out.writerows(rows)
    with open(os.path.join(OUT, 'bench.svg'), 'w') as f:
        f.write(plot.bars(lines, SIZES, WRITES))
    print(f'\n{OUT}/bench.csv and bench.svg hold the same', file=sys.stderr)


if __name__ == '__main__':
    main()
