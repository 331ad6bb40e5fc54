# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that nobody here wrote: saved while they work, left running (they answer), killed and restored (they answer again)."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time

from harness import CKPTVIEW, ENGINES, Case, Skip, Work, expect, settled, slurp, must_be_same, state_of, until

PYTHON = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else shutil.which('python3')


def program(*names):
    for n in names:
        path = shutil.which(n, path=os.environ['PATH'] + ':/usr/sbin:/sbin')
        if path:
            return path
    raise Skip(f'{" or ".join(names)} is not installed')


class Program(Work):
    """A program with its own stdin and stdout (pipes, or files), which a restore gives back as ckptview's own."""

    def start(self, argv, **kw):
        kw.setdefault('stdout', subprocess.PIPE)
        with open(self.path('err'), 'wb') as err:
            self.proc = self.popen(argv, stderr=err, start_new_session=True, cwd=self.dir, **kw)
        self.pid, self.image = self.proc.pid, self.path('image.ckpt')
        self.kw = {k: v for k, v in kw.items() if v == subprocess.PIPE}
        return self

    def save(self, engine):
        self.exe = os.readlink(f'/proc/{self.pid}/exe')
        expect(0, 'save', '-q', '-p', self.pid, '--engine', engine, '-o', self.image)

    def kill_and_restore(self):
        self.proc.kill()
        self.proc.wait()
        with open(self.path('err2'), 'wb') as err:
            self.proc = self.popen([CKPTVIEW, 'restore', self.image], stderr=err, **self.kw)

        def running():
            if self.proc.poll() is not None:
                raise AssertionError(f'restore: exit {self.proc.returncode}: {slurp(self.path("err2"))}')
            try:
                return os.readlink(f'/proc/{self.pid}/exe') == self.exe and 'TracerPid:\t0' in slurp(f'/proc/{self.pid}/status')
            except OSError:
                return False
        until('restored process', running)

    def tell(self, line):
        self.proc.stdin.write(line.encode() + b'\n')
        self.proc.stdin.flush()

    def line(self):
        got = []
        t = threading.Thread(target=lambda: got.append(self.proc.stdout.readline().decode().rstrip('\n')), daemon=True)
        t.start()
        t.join(20)
        assert got, f'no answer (state {state_of(self.pid)}) {slurp(self.path("err"))} {slurp(self.path("err2"))}'
        return got[0]

    def __exit__(self, *a):
        try:
            os.kill(self.pid, signal.SIGKILL)
            self.proc.wait(timeout=5)
        except (OSError, AttributeError, subprocess.TimeoutExpired):
            pass
        super().__exit__(*a)


PYTHON_WORK = '''
import hashlib, sys, threading, time, queue
q, stop, counts = queue.Queue(), threading.Event(), [0, 0, 0]
def work(i):
    h = b"start"
    while not stop.is_set():
        h = hashlib.sha256(h).digest()
        counts[i] += 1
        q.put((i, len(h)))
        time.sleep(0)
def drain():
    while not stop.is_set():
        try: i, n = q.get(timeout=0.1)
        except queue.Empty: continue
        assert n == 32
threads = [threading.Thread(target=work, args=(i,)) for i in range(3)] + [threading.Thread(target=drain)]
table = {str(i): [i] * 10 for i in range(100000)}
for t in threads: t.start()
print("ready", flush=True)
for line in sys.stdin:
    before = list(counts)
    time.sleep(0.2)
    moved = all(b > a for a, b in zip(before, counts))
    good = all(table[str(i)] == [i] * 10 for i in range(100000))
    print(eval(line), moved, good, flush=True)
    if line.strip() == "0": break
stop.set()
for t in threads: t.join()
print("bye", flush=True)
'''


def python3(engine, kill):
    with Program() as p:
        p.start([PYTHON, '-c', PYTHON_WORK], stdin=subprocess.PIPE)
        assert p.line() == 'ready'
        p.save(engine)
        if kill:
            p.kill_and_restore()
        p.tell('6*7')
        assert p.line() == '42 True True'
        p.tell('0')
        assert p.line() == '0 True True' and p.line() == 'bye'
        assert p.proc.wait(timeout=10) == 0


def bash(engine, kill):
    with Program() as p:
        p.start([program('bash'), '-c', 'n=0; a=(one two); declare -A m=([k]=v); echo ready; '
            'while read -r line; do n=$((n+1)); echo "$n $line ${a[1]} ${m[k]}"; done; (exit 3); echo "end $?"; exit 9'],
            stdin=subprocess.PIPE)
        assert p.line() == 'ready'
        p.tell('first')
        assert p.line() == '1 first two v'
        time.sleep(0.05)
        before = settled(p.pid)
        p.save(engine)
        must_be_same(p.pid, before)
        if kill:
            p.kill_and_restore()
        p.tell('second')
        assert p.line() == '2 second two v'
        p.proc.stdin.close()
        assert p.line() == 'end 3'      # it still forks and waits
        assert p.proc.wait(timeout=10) == 9


def sqlite3(engine, kill):
    """In the middle of a query over a table on disk."""
    with Program() as p:
        query = 'create table t as with recursive c(x) as (select 1 union all select x+1 from c where x<200000) select x, ' \
            'x*7919%1000003 as y from c;'
        exe = program('sqlite3')
        subprocess.run([exe, p.path('db'), query], check=True)
        with open(p.path('out'), 'wb') as out:
            p.start([exe, p.path('db'), 'select count(*), sum(a.y*b.x%97) from t a join t b on b.rowid between 1 and 40;'], stdout=out)
        time.sleep(0.4)
        assert p.proc.poll() is None, 'the query is too short'
        p.save(engine)
        assert p.proc.poll() is None, 'the query is too short'
        if kill:
            p.kill_and_restore()
        assert p.proc.wait(timeout=120) == 0
        y = [x * 7919 % 1000003 for x in range(1, 200001)]
        want = sum(sum(v * b % 97 for b in range(1, 41)) for v in y)
        assert slurp(p.path('out')).strip() == f'8000000|{want}', slurp(p.path('out'))


def gdb(engine, kill):
    with Program() as p:
        p.start([program('gdb'), '-nx', '-q', '-ex', 'set confirm off', '-ex', 'set $v = 40', '-ex', 'echo ready\\n', '/bin/true'],
            stdin=subprocess.PIPE)
        while 'ready' not in p.line():
            pass
        p.save(engine)
        if kill:
            p.kill_and_restore()
        p.tell('printf "sum %d\\n", $v + 2')
        assert 'sum 42' in p.line()
        p.tell('info line main')
        p.tell('python print(6*7)')
        p.tell('quit')
        assert p.proc.wait(timeout=20) == 0


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def ask(port, text, timeout=20):
    with socket.create_connection(('127.0.0.1', port), timeout=timeout) as s:
        s.sendall(text)
        return s.recv(65536)


def listening(port):
    def ok():
        try:
            socket.create_connection(('127.0.0.1', port), timeout=1).close()
            return True
        except OSError:
            return False
    return ok


class Load(threading.Thread):
    """Asks a server all the time; every answer must be right."""

    def __init__(self, question):
        super().__init__(daemon=True)
        self.question, self.stop, self.asked, self.wrong = question, False, 0, None

    def run(self):
        while not self.stop:
            try:
                self.question()
            except Exception as e:
                self.wrong = repr(e)
                return
            self.asked += 1


def server(p, engine, kill, question):
    load = Load(question)
    load.start()
    if not kill:        # saved under work
        for _ in range(3):
            p.save(engine)
            time.sleep(0.05)
        n = load.asked
        until('more answers', lambda: load.asked > n + 3 or load.wrong)
        load.stop = True
        load.join(20)
        assert load.wrong is None, load.wrong
    else:
        time.sleep(0.1)
        load.stop = True
        load.join(20)
        time.sleep(0.3)         # its clients' sockets are closed and gone
        p.save(engine)
        p.kill_and_restore()
        for _ in range(5):
            question()


def redis(engine, kill):
    port = free_port()
    with Program() as p:
        with open(p.path('log'), 'wb') as log:
            p.start([program('redis-server'), '--port', str(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no',
                '--unixsocket', p.path('redis.sock')], stdout=log)
        until('redis', listening(port))
        for i in range(200):
            assert ask(port, f'SET key{i} value{i}\r\n'.encode()) == b'+OK\r\n'

        def question():
            assert ask(port, b'GET key42\r\n') == b'$7\r\nvalue42\r\n'
            assert ask(port, b'INCR n\r\n').startswith(b':')
        server(p, engine, kill, question)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(p.path('redis.sock'))
            s.sendall(b'GET key199\r\n')
            assert s.recv(100) == b'$8\r\nvalue199\r\n'
        try:
            ask(port, b'SHUTDOWN NOSAVE\r\n')
        except ConnectionResetError:
            pass
        assert p.proc.wait(timeout=20) == 0


def nginx(engine, kill):
    port = free_port()
    with Program() as p:
        with open(p.path('nginx.conf'), 'w') as f:
            f.write(f'daemon off; master_process off; pid {p.path("pid")}; error_log {p.path("log")};\n'
                f'events {{}} http {{ access_log off; client_body_temp_path {p.path("b")}; proxy_temp_path {p.path("p")};\n'
                f'fastcgi_temp_path {p.path("f")}; uwsgi_temp_path {p.path("u")}; scgi_temp_path {p.path("s")};\n'
                f'server {{ listen 127.0.0.1:{port}; root {p.dir}; }} }}\n')
        with open(p.path('page.txt'), 'w') as f:
            f.write('a page of text\n')
        p.start([program('nginx'), '-p', p.dir, '-c', p.path('nginx.conf'), '-e', p.path('log')], stdout=subprocess.DEVNULL)
        until('nginx', listening(port))

        def question():
            assert ask(port, b'GET /page.txt HTTP/1.0\r\n\r\n').endswith(b'a page of text\n')
        server(p, engine, kill, question)


def node(engine, kill):
    port = free_port()
    js = 'let n = 0; const big = Array.from({length: 1e5}, (_, i) => ({i, s: "x" + i})); setInterval(() => n++, 10);' \
        'require("http").createServer((q, r) => r.end(`${big.length} ${big[777].s} ${n > 0}\\n`))' \
        f'.listen({port}, "127.0.0.1");'
    with Program() as p:
        with open(p.path('log'), 'wb') as log:
            p.start([program('node', 'nodejs'), '-e', js], stdout=log)
        until('node', listening(port))
        time.sleep(0.2)

        def question():
            assert ask(port, b'GET / HTTP/1.0\r\n\r\n').endswith(b'100000 x777 true\n')
        server(p, engine, kill, question)


class Tmux:
    def __init__(self, w):
        self.cmd = [program('tmux'), '-S', w.path('tmux'), '-f', '/dev/null']
        env = dict(os.environ, TERM='xterm', PS1='$ ', LC_ALL='C.UTF-8', HISTFILE='/dev/null', VIMINIT='set nocp', HOME=w.dir)
        env.pop('TMUX', None)
        subprocess.run([*self.cmd, 'new-session', '-d', '-x', '100', '-y', '30', '-c', w.dir, 'bash --norc --noprofile'], check=True,
            env=env)
        until('a prompt', lambda: '$' in self.screen() or '#' in self.screen())

    def keys(self, *keys):
        subprocess.run([*self.cmd, 'send-keys', *keys], check=True)

    def screen(self):
        return subprocess.run([*self.cmd, 'capture-pane', '-p'], capture_output=True, text=True).stdout

    def shows(self, text):
        try:
            until(f'"{text}" on the screen', lambda: text in self.screen())
        except AssertionError as e:
            raise AssertionError(f'{e}\n{self.screen()}')

    def close(self):
        subprocess.run([*self.cmd, 'kill-server'], capture_output=True)


def child_named(w, tmux, name):
    shell = int(subprocess.run([*tmux.cmd, 'display-message', '-p', '#{pane_pid}'], capture_output=True, text=True).stdout)

    def find():
        for pid in slurp(f'/proc/{shell}/task/{shell}/children').split():
            if name in slurp(f'/proc/{pid}/comm'):
                return int(pid)
        return None
    return until(name, find)


def vim(engine, kill):
    exe = program('vim', 'vim.basic', 'vim.tiny', 'vi')
    with Work() as w:
        tmux = Tmux(w)
        try:
            tmux.keys(f'{exe} -u NONE -n text', 'Enter')
            pid = child_named(w, tmux, 'vi')
            tmux.shows('~')
            tmux.keys('i', 'Hello from before')
            tmux.shows('Hello from before')
            expect(0, 'save', '-q', '-p', pid, '--engine', engine, '-o', w.path('vim.ckpt'))
            if kill:
                os.kill(pid, signal.SIGKILL)
                tmux.shows('Killed')
                tmux.keys(f'clear; stty sane; {CKPTVIEW} restore vim.ckpt; echo "status $?"', 'Enter')
                until('vim again', lambda: state_of(pid) in ('S', 'R'))
                time.sleep(0.5)
            tmux.keys(' and after', 'Escape')
            time.sleep(0.2)
            tmux.keys(':w', 'Enter')
            until('the file', lambda: slurp(w.path('text')) == 'Hello from before and after\n')
            tmux.keys(':q', 'Enter')
            until('end of vim', lambda: state_of(pid) is None)
            if kill:
                tmux.shows('status 0')
        finally:
            tmux.close()


def shell_in_terminal(engine, kill):
    """An interactive shell waiting at its prompt, with its history and variables."""
    with Work() as w:
        tmux = Tmux(w)
        try:
            tmux.keys('bash --norc --noprofile -i', 'Enter')
            pid = child_named(w, tmux, 'bash')
            tmux.keys('x=saved; f() { echo "<$x:$1>"; }; f one', 'Enter')
            tmux.shows('<saved:one>')
            expect(0, 'save', '-q', '-p', pid, '--engine', engine, '-o', w.path('sh.ckpt'))
            if kill:
                os.kill(pid, signal.SIGKILL)
                tmux.shows('Killed')
                tmux.keys(f'stty sane; {CKPTVIEW} restore sh.ckpt; echo "status $?"', 'Enter')
                until('the shell again', lambda: state_of(pid) == 'S')
                time.sleep(0.5)
                tmux.keys('', 'Enter')
            tmux.keys('f "t$((1+1))o" | tr a-z A-Z', 'Enter')
            tmux.shows('<SAVED:T2O>')
            tmux.keys('exit 5', 'Enter')
            until('end of the shell', lambda: state_of(pid) is None)
            if kill:
                tmux.shows('status 5')
        finally:
            tmux.close()


def cases():
    for engine in ENGINES:
        for kill in False, True:
            for fn in (python3, bash, sqlite3, gdb, redis, nginx, node, vim, shell_in_terminal):
                yield Case(f'program {engine} {"restore" if kill else "run"} {fn.__name__}',
                    lambda f=fn, e=engine, k=kill: f(e, k))
