# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be done: the right exit code, one line that says why, the process unharmed, no file left."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

from harness import (CKPTVIEW, ENGINES, SANITIZED, VICTIMS, Case, Skip, Victim, Work, ckptview, expect, settled, slurp,
     state_of, until)

# Programs by which a case makes the processes that it needs.
PY = sys.executable if not sys.executable.startswith('/root') else '/usr/bin/python3'


def refuse(words, *args, code=3, **kw):
    """The refusal must name the cause: one of words stands in its line."""
    _, err = expect(code, *args, **kw)
    assert any(w.lower() in err.lower() for w in words), f'none of {words} in: {err}'
    return err


def save_refused(w, pid, words, code=3, **kw):
    image = w.path('image.ckpt')
    refuse(words, 'save', '-q', '-p', pid, '-o', image, code=code, **kw)
    left = [f for f in os.listdir(w.dir) if 'image' in f]
    assert not left, f'files left: {left}'


def no_such_process():
    with Work() as w:
        p = w.popen(['true'])
        p.wait()
        save_refused(w, p.pid, ['no such process', 'No such process', 'no process'])
        save_refused(w, 2**22 + 5, ['no such process', 'No such process', 'no process'])


def bad_usage():
    refuse(['pid'], 'save', code=2)
    refuse(['pid', 'abc'], 'save', '-p', 'abc', code=2)
    refuse(['engine'], 'save', '-p', '1', '--engine', 'magic', code=2)
    refuse(['frobnicate'], 'frobnicate', code=2)
    refuse([''], 'restore', code=2)
    refuse([''], 'verify', code=2)
    refuse(['No such file', 'no such file'], 'verify', '/nonexistent/image.ckpt', code=5)


def no_permission():
    if os.geteuid():
        raise Skip('not root: cannot become nobody')
    with Victim('threads', '1') as v:
        before = settled(v.pid)
        tmp = v.path('image.ckpt')
        r = subprocess.run(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', CKPTVIEW, 'save', '-q', '-p',
            str(v.pid), '-o', tmp], capture_output=True, stdin=subprocess.DEVNULL, timeout=60, text=True)
        if r.returncode == 126 or 'setpriv' in r.stderr:
            raise Skip('nobody cannot run the binary here: ' + r.stderr.strip())
        assert r.returncode == 3 and len(r.stderr.splitlines()) == 1, f'{r.returncode}: {r.stderr}'
        assert 'uid' in r.stderr or 'root' in r.stderr or 'ermi' in r.stderr, r.stderr
        assert not os.path.exists(tmp)
        v.must_be_same(before)
        v.must_pass()


def already_traced():
    with Victim('threads', '1') as v:
        s = v.popen(['strace', '-f', '-o', '/dev/null', '-p', str(v.pid)], stderr=subprocess.DEVNULL)
        until('strace', lambda: f'TracerPid:\t{s.pid}' in slurp(f'/proc/{v.pid}/status'))
        save_refused(v, v.pid, ['strace', str(s.pid)])
        s.send_signal(signal.SIGINT)
        s.wait()
        v.must_pass()


def confined():
    with Victim('confined') as v:
        save_refused(v, v.pid, ['seccomp'])
        v.must_pass()


def kernel_thread():
    for pid in sorted(int(p) for p in os.listdir('/proc') if p.isdigit()):
        if not slurp(f'/proc/{pid}/cmdline') and state_of(pid) not in ('Z', None) and \
                int(slurp(f'/proc/{pid}/stat').rsplit(')', 1)[1].split()[6]) & 0x200000:
            with Work() as w:
                return save_refused(w, pid, ['kernel thread'])
    raise Skip('no kernel thread is visible here')


def zombie():
    with Work() as w:
        p = w.popen(['true'])
        until('zombie', lambda: state_of(p.pid) == 'Z')
        save_refused(w, p.pid, ['zombie', 'has ended', 'has exited', 'is dead'])


def dead_leader():
    """The first thread has ended, others run on: that is no process one can put together again, or it is done right."""
    code = 'import ctypes,threading,time\nt=threading.Thread(target=time.sleep,args=(60,));t.start()\n' \
        'print("ready",flush=True)\nctypes.CDLL(None).syscall(60,0)\n'
    with Work() as w:
        p = w.popen([PY, '-c', code], stdout=subprocess.PIPE)
        p.stdout.readline()
        until('dead leader', lambda: state_of(p.pid) == 'Z')
        image = w.path('image.ckpt')
        rc, _, err = ckptview('save', '-q', '-p', p.pid, '-o', image)
        assert rc in (0, 3) and (rc == 0) == os.path.exists(image), err
        assert p.poll() is None and len(os.listdir(f'/proc/{p.pid}/task')) == 2


def tiny_32bit():
    with Work() as w:
        path = os.path.join(VICTIMS, 'tiny32')
        try:
            p = w.popen([path])
        except OSError as e:
            raise Skip(f'32-bit programs do not run here: {e}')
        time.sleep(0.05)
        if p.poll() is not None:
            raise Skip('32-bit programs do not run here')
        save_refused(w, p.pid, ['32-bit', '32 bit'])
        assert p.poll() is None and state_of(p.pid) == 'S'


def vfork_parent():
    """A parent in vfork sleeps where no signal wakes it until its child is gone: refused, and then it runs on."""
    with Victim('vforked') as v:
        save_refused(v, v.pid, ['vfork', 'uninterruptible', 'does not stop', 'did not stop'])
        v.must_pass()


def itself():
    """ckptview is asked to save its own parent's child: itself."""
    with Work() as w:
        r = subprocess.run(['sh', '-c', 'exec "$0" save -q -p $$ -o "$1"', CKPTVIEW, w.path('image.ckpt')],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert r.returncode == 3 and len(r.stderr.splitlines()) == 1 and 'self' in r.stderr, f'{r.returncode} {r.stderr}'
        assert os.listdir(w.dir) == []


def missing_directory():
    with Victim('threads', '2') as v:
        before = settled(v.pid)
        refuse(['No such file', 'no such directory', 'directory'], 'save', '-q', '-p', v.pid, '-o', v.path('none/image.ckpt'), code=4)
        refuse(['ermission', 'denied', 'Read-only', 'not permitted', 'No such', 'nvalid', 'supported', 'cannot'], 'save', '-q', '-p',
            v.pid, '-o', '/proc/1/image.ckpt', code=4)
        v.must_be_same(before)
        v.must_pass()


def full_disk(engine):
    with Victim('hammer', '2,64') as v:
        small = v.path('small')
        os.mkdir(small)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=20m', 'none', small], capture_output=True).returncode:
            raise Skip('a small tmpfs cannot be mounted here')
        try:
            before = settled(v.pid)
            refuse(['No space left'], 'save', '-q', '-p', v.pid, '--engine', engine, '-o', f'{small}/image.ckpt', code=4)
            assert os.listdir(small) == [], os.listdir(small)
            v.must_be_same(before)
        finally:
            subprocess.run(['umount', '-l', small], check=True)
        v.must_pass()


def interrupted(engine):
    """SIGINT and SIGTERM at any moment: nothing is left, and ckptview dies of that signal (or had finished)."""
    rng = random.Random(2)
    with Victim('hammer', '2,96') as v:
        before = settled(v.pid)
        begin = time.monotonic()
        v.save(engine)
        whole = time.monotonic() - begin
        os.unlink(v.image)
        cut = 0
        for i in range(6 if SANITIZED else 16):
            p = v.popen([CKPTVIEW, 'save', '-q', '-p', str(v.pid), '--engine', engine, '-o', v.image], stderr=subprocess.PIPE)
            time.sleep(rng.random() * whole)
            sig = signal.SIGINT if i % 2 else signal.SIGTERM
            p.send_signal(sig)
            err = p.communicate(timeout=30)[1].decode()
            assert p.returncode in (0, 4, 128 + sig, -sig), f'exit {p.returncode}: {err}'
            assert len(err.splitlines()) <= 1, err
            cut += p.returncode != 0
            left = [f for f in os.listdir(v.dir) if 'image' in f]
            assert left == (['image.ckpt'] if p.returncode == 0 else []), f'exit {p.returncode} left {left}'
            if left:
                os.unlink(v.image)
            v.must_be_same(before)
        assert cut, 'no attempt was cut short'
        v.must_pass()


def pid_in_use():
    with Victim('threads', '2', 'restore') as v:
        v.save('stop')
        err = refuse([str(v.pid)], 'restore', v.image, code=6)
        assert 'in use' in err or 'exists' in err or 'taken' in err or 'runs' in err, err
        v.must_pass()


def changed_library():
    """A mapped file that changed is a refusal; an image without its program, too."""
    with Work() as w:
        prog = w.path('prog')
        shutil.copy(os.path.join(VICTIMS, 'threads'), prog)
        out = open(w.path('out'), 'wb')
        p = w.popen([prog, w.path('c'), w.path('r'), '2', 'restore'], stdout=out, start_new_session=True)
        until('ready', lambda: 'ready' in slurp(w.path('out')))
        expect(0, 'save', '-q', '-p', p.pid, '--engine', 'stop', '-o', w.path('image.ckpt'))
        p.kill()
        p.wait()
        os.utime(prog)          # another time, the same build: that is still the program
        expect(0, 'restore', '--dry-run', w.path('image.ckpt'))
        shutil.copy(os.path.join(VICTIMS, 'robust'), prog)
        refuse(['prog'], 'restore', w.path('image.ckpt'), code=6)
        os.unlink(prog)
        refuse(['prog'], 'restore', w.path('image.ckpt'), code=6)
        assert not os.path.exists(f'/proc/{p.pid}')


def gone_data_file():
    with Victim('fds', 'regular', 'restore') as v:
        v.save('stop')
        v.kill()
        os.rename(v.result + '.file', v.path('elsewhere'))
        refuse(['.file'], 'restore', v.image, code=6)
        assert not os.path.exists(f'/proc/{v.pid}')
        os.rename(v.path('elsewhere'), v.result + '.file')
        v.restore()
        v.must_pass()


def cases():
    for fn in (no_such_process, bad_usage, no_permission, already_traced, confined, kernel_thread, zombie, dead_leader, tiny_32bit,
            vfork_parent, itself, missing_directory, pid_in_use, changed_library, gone_data_file):
        yield Case(f'refusal {fn.__name__}', fn)
    for engine in ENGINES:
        yield Case(f'refusal {engine} full_disk', lambda e=engine: full_disk(e))
        yield Case(f'refusal {engine} interrupted', lambda e=engine: interrupted(e))
