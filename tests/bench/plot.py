# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench as a picture: the longest gap felt, on a log scale, one bar an engine."""

import math

COLORS = {'nothing': '#bbbbbb', 'stop': '#4477aa', 'segv': '#228833', 'gcore': '#ee6677', 'criu': '#aa3377'}
LOW, HIGH = 1e4, 1e10   # ns: 10 us to 10 s
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 1100, 460, 70, 50, 60


def y_of(ns):
    part = (math.log10(min(max(ns, LOW), HIGH)) - math.log10(LOW)) / (math.log10(HIGH) - math.log10(LOW))
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - part)


def text(x, y, s, anchor='middle', size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{s}</text>'


def scale():
    parts = []
    for power, name in ((4, '10 us'), (5, '100 us'), (6, '1 ms'), (7, '10 ms'), (8, '100 ms'), (9, '1 s'), (10, '10 s')):
        y = y_of(10 ** power)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(LEFT - 6, y + 4, name, 'end'))
    return parts


def bars(lines, sizes, writes):
    hows = [h for h in COLORS if any(s['how'] == h for s in lines)]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(WIDTH / 2, 18, 'Longest gap the process felt during a checkpoint (median; tick: minimum)', size=15), *scale()]
    groups = [(m, w) for m in sizes for w in writes]
    step = (WIDTH - LEFT - 10) / len(groups)
    bar = step * 0.8 / len(hows)
    by = {(s['mib'], s['writes'], s['how']): s for s in lines}
    for g, (mib, rate) in enumerate(groups):
        for h, how in enumerate(hows):
            s = by.get((mib, rate, how))
            if not s:
                continue
            x, y = LEFT + g * step + step * 0.1 + h * bar, y_of(s['felt'])
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{bar * 0.9:.1f}" height="{HEIGHT - BOTTOM - y:.1f}" '
                f'fill="{COLORS[how]}"/>')
            low = y_of(s['felt_min'])
            parts.append(f'<line x1="{x:.1f}" x2="{x + bar * 0.9:.1f}" y1="{low:.1f}" y2="{low:.1f}" stroke="black"/>')
        parts.append(text(LEFT + (g + 0.5) * step, HEIGHT - BOTTOM + 16, f'{mib} MiB'))
        parts.append(text(LEFT + (g + 0.5) * step, HEIGHT - BOTTOM + 31, f'{rate} writes/s', size=11))
    for h, how in enumerate(hows):
        x = LEFT + 20 + h * 110
        parts.append(f'<rect x="{x}" y="{HEIGHT - 22}" width="12" height="12" fill="{COLORS[how]}"/>')
        parts.append(text(x + 18, HEIGHT - 12, how, 'start'))
    return '\n'.join(parts + ['</svg>', ''])
