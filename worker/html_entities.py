"""Writes the named character references of HTML 5 as rows of C++, sorted by name.

The names are those of Python's html.entities, which is what Django unescapes file names by.
"""
import html.entities
import sys


def literal(text):
    return '"' + "".join(f"\\{byte:03o}" for byte in text.encode()) + '"'


with open(sys.argv[1], "w", encoding="ascii") as out:
    for name, text in sorted(html.entities.html5.items()):
        out.write(f'{{"{name}", {literal(text)}}},\n')
