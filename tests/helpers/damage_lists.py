"""Lists with wrong lines, paths, line ends or encodings."""

from helpers.damage_tools import damage, pick, put


def edit(tree, rng, change):
    """Change the lines of a list, as bytes without their ends; return the list."""
    path = pick(tree.lists, rng)
    lines = path.read_bytes().split()
    at = int(rng.integers(len(lines)))
    put(path, change(lines, at))
    return [path]


def joined(lines, end=b"\n"):
    return b"".join(line + end for line in lines)


@damage("list line that leads elsewhere", "list")
def list_path(tree, rng):
    before = pick([b"../", b"../../x/../", b"/", b"/etc/", b"C:\\data\\", b"./", b"..\\"], rng)

    def change(lines, at):
        lines[at] = before + lines[at]
        return joined(lines)

    return edit(tree, rng, change)


@damage("list with NUL, other bytes, odd lines", "list")
def list_bytes(tree, rng):
    more = pick(
        [
            b"\0",
            b"\xff\xfe",
            b"\xe9t\xe9",
            b"\x1b[2J",
            b"\x0c",
            b"\xe2\x80\xa8",
            b".",
            b"..",
            b"~",
            b"x" * 5000,
            b"a b c",
            b"*",
            b"%s{0}",
        ],
        rng,
    )

    def change(lines, at):
        lines[at] = pick([lines[at] + more, more, more + lines[at]], rng)
        return joined(lines)

    return edit(tree, rng, change)


@damage("list with a line too many or too few", "list")
def list_lines(tree, rng):
    kind = pick(["double", "missing", "foreign"], rng)

    def change(lines, at):
        if kind == "double":
            lines.insert(int(rng.integers(len(lines))), lines[at])
        elif kind == "missing":
            del lines[at]
        else:
            lines.insert(at, b"2012_999999")
        return joined(lines)

    return [*edit(tree, rng, change), tree.root]


@damage("list with other line ends or encoding", "list")
def list_ends(tree, rng):
    kind = pick(["blank", "CRLF", "CR", "BOM", "UTF-16", "no end", "tabs", "upper"], rng)

    def change(lines, at):
        text = joined(lines)
        return {
            "blank": joined(lines, b"\n\n  \n"),
            "CRLF": joined(lines, b"\r\n"),
            "CR": joined(lines, b"\r"),
            "BOM": b"\xef\xbb\xbf" + text,
            "UTF-16": text.decode().encode("utf-16"),
            "no end": text.rstrip(b"\n"),
            "tabs": joined(lines, b"\t\n"),
            "upper": text.upper(),
        }[kind]

    return edit(tree, rng, change)


@damage("list missing or in place of another", "list")
def list_other(tree, rng):
    path = pick(tree.lists, rng)
    if rng.integers(2):
        path.unlink()
    else:
        put(path, pick(tree.lists, rng).read_bytes())
    return [path, *tree.lists, tree.root]
