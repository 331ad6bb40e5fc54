# SPDX-License-Identifier: GPL-3.0-or-later
"""What every end-to-end case uses: running ckptview, victims, snapshots of a process, cases run two at a time."""

import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import traceback

CKPTVIEW = os.path.abspath(os.environ.get('CKPTVIEW', 'build/ckptview'))
VICTIMS = os.path.abspath(os.environ.get('VICTIMS', 'build/tests/victims'))
BUILD = os.path.abspath(os.environ.get('BUILD', 'build'))
SANITIZED = 'san/' in CKPTVIEW
ENGINES = os.environ.get('ENGINES', 'stop segv uffd fork').split()
DEADLINE = 60 if SANITIZED else 20


class Skip(Exception):
    """This machine cannot run the case; the text says why."""


class Gone(AssertionError):
    """The process has ended."""


class Case:
    def __init__(self, name, run, alone=False):
        self.name, self.run, self.alone = name, run, alone


def until(what, condition, timeout=DEADLINE):
    """Waits for a condition with a deadline; returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'no {what} within {timeout} s')
        time.sleep(0.005)


def slurp(path, default=''):
    try:
        with open(path, 'rb') as f:
            return f.read().decode('utf-8', 'backslashreplace')
    except OSError:
        return default


def ckptview(*args, timeout=120, env=None, **kw):
    """Runs ckptview to its end: exit code, stdout, stderr."""
    full = dict(os.environ, **(env or {}))
    r = subprocess.run([CKPTVIEW, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
        env=full, **kw)
    out, err = r.stdout.decode('utf-8', 'replace'), r.stderr.decode('utf-8', 'replace')
    if r.returncode < 0 or 'Sanitizer' in err or 'runtime error' in err:
        raise AssertionError(f'ckptview {args}: died ({r.returncode})\n{err}')
    return r.returncode, out, err


def expect(code, *args, **kw):
    """Runs ckptview; the exit code must be this one; what failed says so in one line."""
    rc, out, err = ckptview(*args, **kw)
    if rc != code:
        raise AssertionError(f'ckptview {" ".join(map(str, args))}: exit {rc} instead of {code}\n{err}{out}')
    if code and len(err.splitlines()) != 1:
        raise AssertionError(f'ckptview {" ".join(map(str, args))}: not one line on stderr:\n{err}')
    return out, err


# ---- what a process looks like from outside ----

STATUS = ('SigBlk', 'SigIgn', 'SigCgt', 'SigPnd', 'ShdPnd', 'TracerPid', 'Uid', 'Gid', 'Groups', 'CapEff', 'CapPrm',
    'NoNewPrivs', 'Seccomp', 'Umask', 'Cpus_allowed_list', 'Name')


def fields(path, names):
    found = dict(line.split(':', 1) for line in slurp(path).splitlines() if ':' in line)
    return {n: found[n].strip() for n in names if n in found}


def mappings(pid):
    return [re.sub(r'\s+', ' ', line) for line in slurp(f'/proc/{pid}/maps').splitlines()]


def nameless(lines):
    """Objects that no name leads to are other ones after a restore: without their inodes."""
    return [re.sub(r'\d+ (\S+ \(deleted\))', r'\1', line) for line in lines]


def vm_flags(pid):
    flags = []
    for line in slurp(f'/proc/{pid}/smaps').splitlines():
        if line.startswith('VmFlags'):
            flags.append(' '.join(f for f in line.split()[1:] if f != 'sd'))
    return flags


def descriptors(pid):
    fds = {}
    for n in os.listdir(f'/proc/{pid}/fd'):
        try:
            link = os.readlink(f'/proc/{pid}/fd/{n}')
        except OSError:
            continue
        fds[int(n)] = (link, fields(f'/proc/{pid}/fdinfo/{n}', ('pos', 'flags')))
    return fds


def snapshot(pid, allow=()):
    """Everything that a checkpoint must not change. allow: what the program itself changes all the time."""
    tids = sorted(map(int, os.listdir(f'/proc/{pid}/task')))
    snap = {
        'status': fields(f'/proc/{pid}/status', STATUS),
        'links': [os.readlink(f'/proc/{pid}/{n}') for n in ('cwd', 'root', 'exe')],
        'limits': slurp(f'/proc/{pid}/limits'),
        'timers': [line for line in slurp(f'/proc/{pid}/timers').splitlines()],
    }
    if 'maps' not in allow:
        snap['maps'] = mappings(pid)
        snap['flags'] = vm_flags(pid)
    if 'threads' not in allow:
        snap['threads'] = {t: fields(f'/proc/{pid}/task/{t}/status', ('SigBlk', 'SigPnd', 'Name', 'TracerPid')) for t in tids}
    if 'threads' not in allow and 'children' not in allow:
        snap['children'] = [slurp(f'/proc/{pid}/task/{t}/children') for t in tids]
    if 'fds' not in allow:
        snap['fds'] = descriptors(pid)
    if 'mask' in allow:
        for d in (snap['status'], *snap.get('threads', {}).values()):
            for n in ('SigBlk', 'SigPnd', 'ShdPnd'):
                d.pop(n, None)
    return snap


def settled(pid, allow=()):
    """A snapshot of a process that has come to rest: threads just born still block signals, and so on."""
    before = snapshot(pid, allow)
    for _ in range(100):
        time.sleep(0.02)
        now = snapshot(pid, allow)
        born = any(t.get('SigBlk') == 'fffffffffffbfeff' for t in now.get('threads', {}).values())
        if now == before and not born:  # pthread_create() blocks all signals until the thread runs
            return now
        before = now
    raise AssertionError('the victim itself changes all the time')


def difference(a, b):
    """One line for each part of two snapshots that differs."""
    lines = []
    for part in a:
        if a[part] == b[part]:
            continue
        if isinstance(a[part], dict):
            for k in sorted(set(a[part]) | set(b[part])):
                if a[part].get(k) != b[part].get(k):
                    lines.append(f'{part} {k}: {a[part].get(k)} became {b[part].get(k)}')
        elif isinstance(a[part], list):
            lines += [f'{part}: gone {x}' for x in a[part] if x not in b[part]]
            lines += [f'{part}: new {x}' for x in b[part] if x not in a[part]]
            lines += [f'{part}: another order'] if not lines else []
        else:
            lines.append(f'{part}: {a[part]} became {b[part]}')
    return '\n'.join(lines[:30])


def must_be_same(pid, before, allow=(), timeout=5):
    """The guardian may need a moment after its master's death; after that nothing may differ."""
    end = time.monotonic() + timeout
    while True:
        try:
            now = snapshot(pid, allow)
        except FileNotFoundError:
            raise Gone()
        if now == before:
            return
        if time.monotonic() > end:
            raise AssertionError('the process changed:\n' + difference(before, now))
        time.sleep(0.02)


def state_of(pid):
    stat = slurp(f'/proc/{pid}/stat')
    return stat.rsplit(')', 1)[1].split()[0] if stat else None


# ---- victims ----

class Work:
    """A directory that goes with the case, and the processes that must not outlive it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='ckptview-e2e-')
        os.chmod(self.dir, 0o777)
        self.procs = []

    def path(self, name):
        return os.path.join(self.dir, name)

    def popen(self, argv, **kw):
        kw.setdefault('stdin', subprocess.DEVNULL)
        p = subprocess.Popen(argv, **kw)
        self.procs.append(p)
        return p

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.procs:
            if p.poll() is None:
                p.kill()
            p.wait()
            for f in (p.stdin, p.stdout, p.stderr):
                if f:
                    f.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Victim(Work):
    def __init__(self, name, variant='', mode='run'):
        super().__init__()
        self.name, self.restored = f'{name} {variant}'.strip(), None
        self.control, self.result = self.path('control'), self.path('result')
        self.image, self.out = self.path('image.ckpt'), self.path('out')
        with open(self.out, 'wb') as out:
            self.proc = self.popen([os.path.join(VICTIMS, name), self.control, self.result, variant or '-', mode],
                stdout=out, stderr=out, start_new_session=True, cwd=self.dir)
        self.pid = self.proc.pid
        until(f'ready from {self.name}', self.is_ready)

    def is_ready(self):
        if self.proc.poll() is not None:
            raise AssertionError(f'{self.name} ended before it was ready: {slurp(self.result)}{slurp(self.out)}')
        # The bytes are there an instant before the write has moved the position.
        return 'ready' in slurp(self.out) and not slurp(f'/proc/{self.pid}/fdinfo/1').startswith('pos:\t0\n')

    def save(self, engine, *args, **kw):
        return expect(0, 'save', '-q', '-p', self.pid, '--engine', engine, '-o', self.image, *args, **kw)

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def restore(self, *args):
        """ckptview stays its parent in the foreground; waits until the victim's program runs again."""
        self.rerr = self.path('restore.err')
        with open(self.rerr, 'wb') as err:
            self.restored = self.popen([CKPTVIEW, 'restore', self.image, *args], stdout=subprocess.DEVNULL, stderr=err)

        def running():
            if self.restored.poll() is not None and not os.path.exists(self.result):
                raise AssertionError(f'restore: exit {self.restored.returncode}: {slurp(self.rerr)}')
            same = os.path.exists(f'/proc/{self.pid}/exe') and state_of(self.pid) != 'Z'
            return same and fields(f'/proc/{self.pid}/status', ['TracerPid']).get('TracerPid') == '0' and \
                os.readlink(f'/proc/{self.pid}/exe').startswith(VICTIMS) or os.path.exists(self.result)
        until('restored process', running)

    def verdict(self):
        """Tells it to check itself, and returns what it said."""
        open(self.control, 'wb').close()

        def said():
            text = slurp(self.result)
            if text.endswith('\n'):
                return text.strip()
            who = self.restored or self.proc
            if who.poll() is not None and not slurp(self.result):
                raise AssertionError(f'{self.name} died without a word: exit {who.returncode} '
                    f'{slurp(self.rerr) if self.restored else ""}')
            return None
        return until(f'verdict of {self.name}', said)

    def must_be_same(self, before, allow=()):
        try:
            must_be_same(self.pid, before, allow)
        except Gone:
            self.proc.wait(timeout=5)
            raise AssertionError(f'{self.name} ended: status {self.proc.returncode}, {slurp(self.result) or "no word"}')

    def must_pass(self):
        word = self.verdict()
        if word != 'PASS':
            raise AssertionError(f'{self.name}: {word}')
        who = self.restored or self.proc
        code = who.wait(timeout=DEADLINE)
        if code != 0:
            raise AssertionError(f'{self.name}: exit status {code} after PASS '
                f'{slurp(self.rerr) if self.restored else ""}')
        if self.restored and 'Sanitizer' in slurp(self.rerr):
            raise AssertionError(slurp(self.rerr))

    def __exit__(self, *a):
        if self.restored and self.restored.poll() is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
                self.restored.wait(timeout=5)
            except (OSError, subprocess.TimeoutExpired):
                pass
        super().__exit__(*a)


# ---- running cases ----

_print = threading.Lock()


def run_case(case):
    begin = time.monotonic()
    try:
        case.run()
        verdict, why = 'pass', ''
    except Skip as e:
        verdict, why = 'skip', str(e)
    except AssertionError as e:
        verdict, why = 'FAIL', str(e)
    except Exception:       # a case must never take the others along
        verdict, why = 'FAIL', ''.join(traceback.format_exc(limit=-3))
    took = time.monotonic() - begin
    with _print:
        if verdict != 'pass' or os.environ.get('V'):
            print(f'{verdict} {case.name} ({took:.1f} s){": " + why.rstrip() if why else ""}', flush=True)
    return verdict


def run_cases(cases, only):
    cases = [c for c in cases if all(word in c.name for word in only)]
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get('JOBS', '2'))) as pool:
        verdicts = list(pool.map(run_case, [c for c in cases if not c.alone]))
    verdicts += [run_case(c) for c in cases if c.alone]
    n = {v: verdicts.count(v) for v in ('pass', 'FAIL', 'skip')}
    print(f'{n["pass"]} passed, {n["FAIL"]} failed' + (f', {n["skip"]} skipped' if n['skip'] else ''))
    return 1 if n['FAIL'] else 0
