# SPDX-License-Identifier: GPL-3.0-or-later
"""Every victim under every engine: saved and left running (nothing may differ), and saved, killed and restored."""

import json
import os
import signal
import time

from harness import ENGINES, Case, Victim, ckptview, difference, expect, mappings, nameless, settled, snapshot, state_of, until

# What a victim itself changes all the time, so that it cannot be compared.
CHANGES = {
    'faults barrier': ('maps',), 'kwrite': ('fds', 'timers'), 'mapping': ('maps',), 'forks': ('maps', 'threads', 'fds', 'mask'),
    'forks children': (), 'pending': (), 'altstack inside': (), 'altstack': ('mask',), 'faults jump': ('mask',),
    'kwrite wait': ('fds', 'timers', 'children'), 'kwrite misc': ('mask', 'fds'), 'timers': ('mask',), 'mapping mprotect': ('maps', 'fds'), 'forks threads': ('maps', 'threads'),
}

# Victims, and their variants; then those that make no sense after a kill: their children and peers are gone.
TABLE = {
    'regs': [''], 'threads': ['1', '16', '100'], 'rseq': [''], 'robust': [''], 'altstack': ['', 'inside'],
    'faults': ['barrier', 'jump', 'blocked', 'contended', 'ignored'], 'hammer': ['1,16', '4,64'],
    'kwrite': ['pipe', 'file', 'time', 'misc', 'sock', 'wait'],
    'mapping': ['mmap', 'mremap', 'brk', 'dontneed', 'free', 'mprotect', 'fixed', 'grow', 'file', 'all'],
    'forks': ['fork', 'vfork', 'spawn', 'share', 'threads', 'children'],
    'timers': [''], 'pending': [''],
    'blocked': ['read', 'write', 'nanosleep', 'abssleep', 'poll', 'polltime', 'select', 'futex', 'sigsuspend', 'pause', 'sigwait',
        'epoll', 'accept', 'timerfd', 'lock'],
    'fds': ['regular', 'append', 'deleted', 'dir', 'chardev', 'pipe', 'fifo', 'memfd', 'eventfd', 'timerfd', 'signalfd', 'epoll',
        'inotify', 'tcp', 'unix', 'flags', 'all'],
    'shm': ['', 'open'], 'attrs': ['', 'flags', 'nobody'], 'wide': [''],
}
ONLY_RUN = {'kwrite sock', 'kwrite wait', 'forks fork', 'forks vfork', 'forks spawn', 'forks share', 'forks children'}


def changes(name, variant):
    return CHANGES.get(f'{name} {variant}'.strip(), CHANGES.get(name, ()))


def fitting(engine, name, variant):
    """An unprivileged process may have no userfaultfd that serves the kernel, too: `auto` must find what it may have."""
    return 'auto' if (engine, name, variant) == ('uffd', 'attrs', 'nobody') else engine


def left_running(name, variant, engine):
    allow = changes(name, variant)
    with Victim(name, variant, 'run') as v:
        before = settled(v.pid, allow)
        v.save(engine)
        v.must_be_same(before, allow)
        expect(0, 'verify', v.image)
        v.save(engine)          # and once more, over the first image
        v.must_be_same(before, allow)
        left = sorted(f for f in os.listdir(v.dir) if 'image' in f)
        assert left == ['image.ckpt'], f'files left: {left}'
        v.must_pass()


def restored(name, variant, engine):
    allow = changes(name, variant)
    with Victim(name, variant, 'restore') as v:
        time.sleep(0.05)
        before = settled(v.pid, ('fds', 'timers', *allow))
        v.save(engine)
        expect(0, 'verify', v.image)
        v.kill()
        v.restore()
        if state_of(v.pid) and 'maps' not in allow:
            now = snapshot(v.pid, ('fds', 'timers', *allow))
            for part in ('maps', 'links', 'limits'):
                a, b = ({part: nameless(s[part]) if part == 'maps' else s[part]} for s in (before, now))
                assert a == b, 'the restored process differs:\n' + difference(a, b)
        v.must_pass()


def job_stopped(engine):
    """A process that its shell stopped is saved as stopped, stays so, and comes back so."""
    with Victim('threads', '4') as v:
        os.kill(v.pid, signal.SIGSTOP)
        until('state T', lambda: state_of(v.pid) == 'T')
        before = settled(v.pid)
        v.save(engine)
        until('state T after the save', lambda: state_of(v.pid) == 'T')
        v.must_be_same(before)
        v.kill()
        v.restore()
        until('state T after the restore', lambda: state_of(v.pid) == 'T')
        until('ckptview stopped with it', lambda: state_of(v.restored.pid) == 'T')
        os.kill(v.restored.pid, signal.SIGCONT)         # as a shell's fg does
        v.must_pass()


def resumed(engine, variant):
    """A call that the kernel already goes on with by restart_syscall: what it writes must be known all the same."""
    with Victim('blocked', variant) as v:
        os.kill(v.pid, signal.SIGSTOP)
        until('state T', lambda: state_of(v.pid) == 'T')
        os.kill(v.pid, signal.SIGCONT)
        until('going on', lambda: state_of(v.pid) == 'S')
        v.save(engine)
        v.must_pass()


def exiting(engine):
    """A process that ends while it is saved ends as it would have: with its status, and without a trace of us."""
    for delay in range(8):
        with Victim('forks', 'exit') as v:
            time.sleep(delay * 0.02)
            rc, _, err = ckptview('save', '-q', '-p', v.pid, '--engine', engine, '-o', v.image)
            assert rc in (0, 3, 4), f'exit code {rc}: {err}'
            assert rc == 0 or len(err.splitlines()) == 1, err
            assert v.proc.wait(timeout=20) == 7, f'the victim ended with {v.proc.returncode}'
            assert (rc == 0) == os.path.exists(v.image)


def executing(engine):
    """A process that replaces itself all the time: a whole image or none, and it never notices."""
    with Victim('forks', 'exec') as v:
        good = 0
        for _ in range(10):
            rc, _, err = ckptview('save', '-q', '-p', v.pid, '--engine', engine, '-o', v.image)
            assert rc in (0, 3, 4), f'exit code {rc}: {err}'
            good += rc == 0
            if rc == 0:
                expect(0, 'verify', v.image)
        v.must_pass()


def killed_by_save(engine):
    if engine != 'stop':        # the process must not run on after the image: a matter of usage
        return expect(2, 'save', '-q', '-p', os.getpid(), '--engine', engine, '--kill')
    with Victim('hammer', '2,16', 'restore') as v:
        v.save(engine, '--kill')
        assert v.proc.wait(timeout=10) == -signal.SIGKILL
        v.restore()
        v.must_pass()


def stopped_by_save(engine):
    if engine != 'stop':
        return expect(2, 'save', '-q', '-p', os.getpid(), '--engine', engine, '--stop')
    with Victim('hammer', '2,16') as v:
        v.save(engine, '--stop')
        until('state T', lambda: state_of(v.pid) == 'T')
        os.kill(v.pid, signal.SIGCONT)
        v.must_pass()


def twice(engine):
    """A restored process is a process like any other: saved, killed and restored again."""
    with Victim('mapping', 'all', 'restore') as v:
        v.save(engine)
        v.kill()
        for _ in range(2):
            v.restore()
            time.sleep(0.05)
            before = mappings(v.pid)
            assert before
            v.save(engine)
            os.kill(v.pid, signal.SIGKILL)
            code = v.restored.wait(timeout=10)
            assert code in (128 + signal.SIGKILL, -signal.SIGKILL), f'restore passed on {code} for a kill'
        v.restore()
        v.must_pass()


def automatic(name, variant, want):
    """`auto` takes the engine that stops shortest among those that the process may have, and says which."""
    with Victim(name, variant) as v:
        out, _ = expect(0, 'save', '--json', '-p', v.pid, '-o', v.image)
        assert json.loads(out)['engine'] == want, out
        v.must_pass()


def cases():
    yield Case('life auto root', lambda: automatic('threads', '4', 'uffd'))
    yield Case('life auto nobody', lambda: automatic('attrs', 'nobody', 'segv'))
    for engine in ENGINES:
        for name, variants in TABLE.items():
            for variant in variants:
                title = f'{name} {variant}'.strip()
                yield Case(f'run {engine} {title}', lambda n=name, v=variant, e=fitting(engine, name, variant): left_running(n, v, e))
                if title not in ONLY_RUN:
                    yield Case(f'restore {engine} {title}', lambda n=name, v=variant, e=fitting(engine, name, variant): restored(n, v, e))
        for fn in (job_stopped, exiting, executing, killed_by_save, stopped_by_save, twice):
            yield Case(f'life {engine} {fn.__name__}', lambda f=fn, e=engine: f(e))
        for variant in ('poll', 'nanosleep', 'abssleep', 'futex'):
            yield Case(f'life {engine} resumed {variant}', lambda e=engine, v=variant: resumed(e, v))
