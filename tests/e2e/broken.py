# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that somebody cut short or changed: verify, show and restore say so in one line, and never die of it."""

import os
import random
import struct
import time

from harness import SANITIZED, Case, Victim, ckptview, expect

COUNT = int(os.environ.get('BROKEN', '250' if SANITIZED else '1500'))


def segments(image):
    """Where the stored bytes and the notes lie."""
    phoff, = struct.unpack_from('<Q', image, 32)
    num, = struct.unpack_from('<H', image, 56)
    found = []
    for i in range(num):
        kind, _, off, _, _, size = struct.unpack_from('<IIQQQQ', image, phoff + 56 * i)
        found.append((kind, off, size))
    return phoff, num, found


def one(path, args):
    """One command on a broken image: exit 0 or 5; 5 with exactly one line."""
    rc, _, err = ckptview(*args, path, timeout=30)
    assert rc in (0, 5, 6), f'{args}: exit {rc}: {err}'
    assert rc == 0 or len(err.splitlines()) == 1, f'{args}: {err}'
    return rc


def with_image(fn):
    def run():
        v = Victim('fds', 'all', 'restore')
        with v:
            v.save('stop')
            with open(v.image, 'rb') as f:
                image = f.read()
            v.kill()
            fn(v, bytearray(image))
    return run


@with_image
def truncated(v, image):
    rng = random.Random(3)
    lengths = [0, 1, 4, 63, 64, 4095, 4096, len(image) - 1] + [rng.randrange(len(image)) for _ in range(COUNT // 5)]
    for n in lengths:
        path = v.path('cut.ckpt')
        with open(path, 'wb') as f:
            f.write(image[:n])
        assert one(path, ['verify']) == 5, f'cut at {n} of {len(image)}: verify is content'
        assert one(path, ['show']) in (0, 5)


def flip_and_try(v, image, rng, places, command, must_find):
    path = v.path('flip.ckpt')
    with open(path, 'wb') as f:
        f.write(image)
    missed = []
    with open(path, 'r+b', buffering=0) as f:
        for _ in range(COUNT // 4):
            lo, size = rng.choice(places)
            at, bit = lo + rng.randrange(size), 1 << rng.randrange(8)
            f.seek(at)
            f.write(bytes([image[at] ^ bit]))
            if one(path, command) == 0 and must_find:
                missed.append(f'{at:#x} bit {bit}')
            f.seek(at)
            f.write(bytes([image[at]]))
    assert not missed, f'{len(missed)} flipped bits not found: {missed[:10]}'


@with_image
def flipped_pages(v, image):
    loads = [(off, size) for kind, off, size in segments(image)[2] if kind == 1 and size]
    flip_and_try(v, image, random.Random(4), loads, ['verify'], True)


@with_image
def flipped_notes(v, image):
    notes = [(off, size) for kind, off, size in segments(image)[2] if kind == 4 and size]
    flip_and_try(v, image, random.Random(5), notes, ['verify'], True)
    flip_and_try(v, image, random.Random(6), notes, ['show'], False)


@with_image
def flipped_headers(v, image):
    phoff, num, _ = segments(image)
    headers = [(0, 64), (phoff, 56 * num)]
    for seed, command in (7, ['verify']), (8, ['show', '--json']), (9, ['restore', '--dry-run']):
        flip_and_try(v, image, random.Random(seed), headers, command, False)


@with_image
def garbage(v, image):
    """Not an image at all, a directory, another ELF file, an image of another format."""
    rng = random.Random(10)
    path = v.path('garbage')
    for text in (b'', b'hello', b'\x7fELF', rng.randbytes(100000)):
        with open(path, 'wb') as f:
            f.write(text)
        for command in (['verify'], ['show'], ['restore'], ['restore', '--dry-run']):
            expect(5, *command, path)
    for other in ('/bin/sh', v.dir, '/dev/null'):
        for command in (['verify'], ['show'], ['restore']):
            expect(5, *command, other)


@with_image
def restore_refuses(v, image):
    """restore never starts from an image with a wrong byte, and leaves no process behind."""
    loads = [(off, size) for kind, off, size in segments(image)[2] if kind == 1 and size]
    rng = random.Random(11)
    for _ in range(10):
        off, size = rng.choice(loads)
        at = off + rng.randrange(size)
        broken = bytearray(image)
        broken[at] ^= 0x10
        with open(v.path('bad.ckpt'), 'wb') as f:
            f.write(broken)
        expect(5, 'restore', v.path('bad.ckpt'))
        assert not os.path.exists(f'/proc/{v.pid}')
    v.restore()     # the good one still works
    time.sleep(0.02)
    v.must_pass()


def cases():
    for fn, name in ((truncated, 'truncated'), (flipped_pages, 'pages'), (flipped_notes, 'notes'), (flipped_headers, 'headers'),
            (garbage, 'garbage'), (restore_refuses, 'restore')):
        yield Case(f'broken {name}', fn)
