# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that know core files open an image without complaint; and we open cores that others wrote."""

import json
import os
import re
import subprocess

from harness import ENGINES, Case, Skip, Victim, expect


def tool(*argv):
    try:
        r = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    except FileNotFoundError:
        raise Skip(f'{argv[0]} is not installed')
    return r.returncode, r.stdout, r.stderr


def no_complaint(text):
    bad = [line for line in text.splitlines() if re.search(r'warning|error|truncated|corrupt|invalid', line, re.I)
        and 'debuginfo' not in line and 'shared library' not in line and 'libthread_db' not in line]
    assert not bad, '\n'.join(bad)


def gdb(engine):
    with Victim('robust') as v:
        v.save(engine)
        args = ['gdb', '-nx', '-batch', '-ex', 'info threads', '-ex', 'thread apply all bt', '-ex', 'print victim_result',
            '-ex', 'info auxv', os.path.realpath(f'/proc/{v.pid}/exe'), v.image]
        rc, out, err = tool(*args)
        no_complaint(err)
        assert rc == 0 and out.count('LWP') >= 2, out
        for want in ('main', 'hold', 'victim_wait', v.result, 'AT_ENTRY'):
            assert want in out, f'no {want} in what gdb says:\n{out}'
        v.must_pass()


def readelf(engine):
    with Victim('threads', '3') as v:
        v.save(engine)
        rc, out, err = tool('readelf', '-a', v.image)
        assert rc == 0 and not err.strip(), err
        assert out.count('NT_PRSTATUS') == 4, out
        for want in ('NT_PRPSINFO', 'NT_AUXV', 'NT_FILE', 'NT_FPREGSET', 'NT_X86_XSTATE', 'NT_SIGINFO', 'CKPTVIEW', 'CORE'):
            assert want in out, f'no {want} in what readelf says'
        rc, out, err = tool('eu-readelf', '-n', v.image)
        assert rc == 0 and not err.strip(), err
        v.must_pass()


def eu_stack(engine):
    with Victim('robust') as v:
        v.save(engine)
        rc, out, err = tool('eu-stack', f'--core={v.image}')
        assert out.count('TID') == 2 and 'hold' in out and 'main' in out, out + err
        v.must_pass()


def show(engine):
    with Victim('fds', 'all') as v:
        v.save(engine)
        for section in ('summary', 'threads', 'regs', 'maps', 'fds', 'signals', 'timers', 'stats'):
            out, _ = expect(0, 'show', v.image, section)
            assert out.strip() or section == 'timers', section
            out, _ = expect(0, 'show', v.image, section, '--json')
            json.loads(out)
        whole = json.loads(expect(0, 'show', v.image, '--json')[0])
        assert whole
        for section in ('summary', 'threads', 'maps', 'fds'):
            out, _ = expect(0, 'show', f'pid:{v.pid}', section)
            assert out.strip(), section
        v.must_pass()


def foreign_core():
    with Victim('robust') as v:
        rc, out, err = tool('gdb', '-nx', '-batch', '-p', str(v.pid), '-ex', f'gcore {v.path("g.core")}')
        if not os.path.exists(v.path('g.core')):
            raise Skip('gcore made no core: ' + err[-200:])
        out, _ = expect(0, 'show', v.path('g.core'))
        assert str(v.pid) in out or 'robust' in out, out
        for section in ('threads', 'regs', 'maps'):
            out, _ = expect(0, 'show', v.path('g.core'), section)
            assert out.strip()
            json.loads(expect(0, 'show', v.path('g.core'), section, '--json')[0])
        v.must_pass()


def dry_run():
    with Victim('fds', 'all') as v:
        v.save('stop')
        out, _ = expect(0, 'restore', '--dry-run', v.image)
        assert len(out.splitlines()) > 20, out
        json.loads(expect(0, 'restore', '--dry-run', '--json', v.image)[0])
        v.must_pass()


def events(engine):
    with Victim('hammer', '2,16') as v:
        path = v.path('events')
        v.save(engine, '--events', path)
        size = os.path.getsize(path)
        assert size > 64 * 5 and size % 64 == 0, size
        out, _ = expect(0, 'save', '--json', '-p', v.pid, '--engine', engine, '-o', v.image)
        summary = json.loads(out)
        assert summary['engine'] == engine, summary
        v.must_pass()


def cases():
    for engine in ENGINES:
        for fn in (gdb, readelf, eu_stack, show, events):
            yield Case(f'reader {engine} {fn.__name__}', lambda f=fn, e=engine: f(e))
    yield Case('reader foreign core', foreign_core)
    yield Case('reader dry run', dry_run)
