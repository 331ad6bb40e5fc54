# SPDX-License-Identifier: GPL-3.0-or-later
"""ckptview dies, or one of its own steps fails: the process never notices. And the oracle: each byte of the image is of one instant."""

import os
import random
import signal
import subprocess
import time

from harness import BUILD, CKPTVIEW, ENGINES, SANITIZED, Case, Victim, ckptview, expect, settled, slurp, state_of, until
from victims import changes

ORACLE = os.path.join(BUILD, 'tests/e2e/oracle')
# The leak checker of a sanitized build traces itself by a child of its own, which must not be taken for the tracer.
NO_LEAKS = dict(os.environ, ASAN_OPTIONS=os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0')
KILLS = int(os.environ.get('KILLS', '12' if SANITIZED else '40'))


def tracer_of(pid):
    """The process that ckptview made for tracing: its child."""
    return [int(c) for c in slurp(f'/proc/{pid}/task/{pid}/children').split()]


def nobody_left(pid):
    """Whoever has outlived the kill (a tracer whose guardian still puts things right) has ended, too."""
    for p in os.listdir('/proc'):
        words = slurp(f'/proc/{p}/cmdline').split('\0') if p.isdigit() else []
        if words[:1] == [CKPTVIEW] and str(pid) in words and state_of(p) not in (None, 'Z'):
            return False
    return 'TracerPid:\t0' in slurp(f'/proc/{pid}/status')


def killed(engine, name, variant, seed):
    """SIGKILL at random moments, to the tracer, to the one that waits for it, or to both."""
    rng = random.Random(seed)
    allow = changes(name, variant)
    with Victim(name, variant) as v:
        before = settled(v.pid, allow)
        begin = time.monotonic()
        v.save(engine)
        whole = time.monotonic() - begin
        for i in range(KILLS):
            p = v.popen([CKPTVIEW, 'save', '-q', '-p', str(v.pid), '--engine', engine, '-o', v.image],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=NO_LEAKS)
            time.sleep(rng.random() * whole * 1.1)
            for pid in [[p.pid], tracer_of(p.pid), [p.pid, *tracer_of(p.pid)]][i % 3]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            p.wait(timeout=30)
            until('end of tracing', lambda: nobody_left(v.pid))
            try:
                v.must_be_same(before, allow)
            except AssertionError as e:
                raise AssertionError(f'kill {i} of {KILLS}: {e}')
            assert v.proc.poll() is None, f'the process died after kill {i}: {v.proc.returncode} {slurp(v.result)}'
        v.save(engine)          # nothing is in the way of the next one
        expect(0, 'verify', v.image)
        v.must_be_same(before, allow)
        v.must_pass()


def killed_under_us(engine):
    """The process itself is killed at a random moment: the save ends soon, whatever it was about."""
    rng = random.Random(1)
    for i in range(KILLS // 2):
        with Victim('threads', '16') as v:
            if i == 0:
                begin = time.monotonic()
                v.save(engine)
                whole = time.monotonic() - begin
            p = v.popen([CKPTVIEW, 'save', '-q', '-p', str(v.pid), '--engine', engine, '-o', v.image],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(rng.random() * whole)
            v.proc.kill()
            said = p.communicate(timeout=30)[1].decode()
            assert p.returncode in (0, 3, 4) and said.count('\n') == (p.returncode != 0), f'kill {i}: exit {p.returncode}, {said}'


def killed_again():
    """A process that comes back is killed at a random moment: ckptview ends with it and says so."""
    rng = random.Random(1)
    with Victim('threads', '16') as v:
        v.save('stop', '--kill')
        v.proc.wait()
        begin = time.monotonic()
        for i in range(2 * KILLS):
            p = v.popen([CKPTVIEW, 'restore', v.image], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if i == 0:
                until('return', lambda: 'TracerPid:\t0' in slurp(f'/proc/{v.pid}/status'))
                whole = time.monotonic() - begin
            until('process', lambda: state_of(v.pid))
            time.sleep(rng.random() * whole * 1.2 if i % 2 else whole * (0.8 + 0.01 * (i % 40)))
            try:
                os.kill(v.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            assert p.wait(timeout=30) != 0, f'kill {i}: restore calls it done'
            until('end', lambda: state_of(v.pid) is None)


def failing(engine, name, variant):
    """The n-th step of a checkpoint fails, for every n there is."""
    allow = changes(name, variant)
    with Victim(name, variant) as v:
        before = settled(v.pid, allow)
        for n in range(1, 2000):
            rc, _, err = ckptview('save', '-q', '-p', v.pid, '--engine', engine, '-o', v.image, env={'CKPTVIEW_FAIL': str(n)})
            if rc == 0:
                break
            assert rc in (3, 4) and len(err.splitlines()) == 1, f'point {n}: exit {rc}: {err}'
            left = [f for f in os.listdir(v.dir) if 'image' in f]
            assert not left, f'point {n}: files left: {left}'
            try:
                v.must_be_same(before, allow)
            except AssertionError as e:
                raise AssertionError(f'point {n} ({err.strip()}): {e}')
        assert n > 2, f'only {n - 1} points could fail'
        v.must_be_same(before, allow)
        v.must_pass()


def oracle(engine, name, variant):
    """Everything copied the slow way at T must be what the image says, byte for byte."""
    with Victim(name, variant) as v:
        for _ in range(3):
            v.save(engine, '--oracle')
            r = subprocess.run([ORACLE, v.image, v.image + '.oracle'], capture_output=True, text=True)
            assert r.returncode == 0, r.stdout + r.stderr
        v.must_pass()


def selection(engine, name, variant):
    """Which pages are stored is right, too: of a process that stands still, every page of every mapping is compared."""
    with Victim(name, variant) as v:
        os.kill(v.pid, signal.SIGSTOP)
        until('state T', lambda: state_of(v.pid) == 'T')
        v.save(engine)
        r = subprocess.run([ORACLE, v.image, f'pid:{v.pid}'], capture_output=True, text=True)
        assert r.returncode == 0, r.stdout + r.stderr
        os.kill(v.pid, signal.SIGCONT)
        v.must_pass()


def bounded(engine):
    """The tracer's memory does not grow with the process: --max-buffer bounds it."""
    with Victim('hammer', '2,400') as v:
        events = v.path('events')
        p = v.popen([CKPTVIEW, 'save', '-q', '-p', str(v.pid), '--engine', engine, '-o', v.image, '--max-buffer', '16M', '--events',
            events])
        peak = 0
        while p.poll() is None:
            for pid in [p.pid, *tracer_of(p.pid)]:
                for line in slurp(f'/proc/{pid}/status').splitlines():
                    if line.startswith('RssAnon') or line.startswith('RssShmem'):
                        peak = max(peak, int(line.split()[1]))
            time.sleep(0.002)
        assert p.returncode == 0
        assert peak < 120 * 1024, f'{peak} KiB for a buffer of 16 MiB'
        v.must_pass()


def cases():
    yield Case('death restore', killed_again)
    for engine in ENGINES:
        yield Case(f'death {engine} process', lambda e=engine: killed_under_us(e))
        # None of these makes calls that write or change protected memory: between our death and the guardian's work nobody
        # stands in between (README: what it cannot do).
        for name, variant in (('hammer', '2,32'), ('threads', '16'), ('regs', ''), ('wide', ''), ('timers', '')):
            if engine != 'stop' or name == 'threads':
                yield Case(f'death {engine} {name}', lambda e=engine, n=name, v=variant: killed(e, n, v, 1))
        for name, variant in (('kwrite', 'misc'), ('mapping', 'all'), ('faults', 'barrier')):
            if engine == 'uffd':        # the kernel drops its protection with our descriptor
                yield Case(f'death {engine} {name}', lambda e=engine, n=name, v=variant: killed(e, n, v, 1))
        for name, variant in (('hammer', '2,8'), ('threads', '4'), ('kwrite', 'misc'), ('faults', 'ignored')):
            yield Case(f'fail {engine} {name}', lambda e=engine, n=name, v=variant: failing(e, n, v))
        for name, variant in (('hammer', '4,96'), ('mapping', 'all'), ('shm', ''), ('wide', ''), ('kwrite', 'pipe'),
                ('forks', 'fork'), ('threads', '100')):
            yield Case(f'oracle {engine} {name}', lambda e=engine, n=name, v=variant: oracle(e, n, v))
        for name, variant in ('wide', ''), ('mapping', 'file'), ('shm', 'open'), ('threads', '4'):
            yield Case(f'selection {engine} {name}', lambda e=engine, n=name, v=variant: selection(e, n, v))
        if not SANITIZED:
            yield Case(f'bounded {engine}', lambda e=engine: bounded(e))
