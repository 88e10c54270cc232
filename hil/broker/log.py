"""What RabbitMQ says of itself: the lines of its log and of its output, and the reason of its end among them."""

import re
from contextlib import suppress

from hil.broker.settings import Paths

REASONS_MAX = 6  # errors that are told; the first ones hold the cause
STAMP = re.compile(r'^[-\d]+ [:.\d]+\S* (\[\w+\]) <[\d.]+>')  # of a line of the log
LEVEL = re.compile(r'^\[\w+\]')  # of a line without its stamp


def log_lines(paths: Paths) -> list[str]:
    """Return what was printed and logged so far, without time stamps, process ids and empty lines."""
    lines = list[str]()
    for path in (paths.output, paths.log):
        with suppress(FileNotFoundError):
            lines += path.read_text('utf-8', 'replace').splitlines()
    bare = (STAMP.sub(r'\1', line).strip() for line in lines)
    return [line for line in bare if re.search(r'\w', LEVEL.sub('', line))]


def reason_of_end(paths: Paths) -> str:
    """Return what RabbitMQ gives as the reason of its end: its errors, each once, or its last words."""
    lines = log_lines(paths)
    errors = dict.fromkeys(line.removeprefix('[error]').strip() for line in lines if '[error]' in line)
    return ' / '.join(list(errors)[:REASONS_MAX]) or f'it logged no error; its last words: {(lines or ["none"])[-1]}'
