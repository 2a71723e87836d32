#!/usr/bin/env python3
"""Fails where source files of a crate import each other in a circle.

Files are nodes. A `use` line, or a path that begins with `crate::`, `super::` or a child module, is an
arrow to the file that defines the name; re-exports (`pub use`) are followed and are no arrows
themselves. Test modules are left out.
"""
import re
import sys
from pathlib import Path


def code_of(path):
    """The file's code without tests, comments and texts."""
    text = re.split(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod tests\b", path.read_text())[0]
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text, flags=re.S)
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def expand(tree):
    """`a::{b, c::d as e}` as [(path, name)]."""
    tree = tree.strip()
    match = re.match(r"^(.*?)\{(.*)\}$", tree, flags=re.S)
    if not match:
        path, _, alias = tree.partition(" as ")
        parts = [part.strip() for part in path.split("::")]
        return [(parts[:-1], parts[-2] if len(parts) > 1 else "")] if parts[-1] == "self" else [
            (parts, alias.strip() or parts[-1])
        ]
    prefix, depth, item, items = match[1], 0, "", []
    for char in match[2] + ",":
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            items.append(item)
            item = ""
        else:
            item += char
    return [found for item in items if item.strip() for found in expand(prefix + item)]


class Crate:
    def __init__(self, source):
        self.source = source
        self.files = {}  # module path as a tuple -> file
        for path in sorted(source.rglob("*.rs")):
            parts = path.relative_to(source).with_suffix("").parts
            if parts[-1] in ("mod", "lib", "main"):
                parts = parts[:-1]
            if "tests" not in parts:
                self.files[parts] = path
        self.code = {module: code_of(path) for module, path in self.files.items()}
        self.uses, self.exports = {}, {}
        for module, code in self.code.items():
            self.uses[module], self.exports[module] = [], {}
            for public, tree in re.findall(r"(pub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);", code):
                for path, name in expand(tree):
                    if public:
                        self.exports[module][name] = path
                    else:
                        self.uses[module].append(path)

    def absolute(self, module, path):
        """`path`, as written in `module`, from the crate's root; None for other crates."""
        module = list(module)
        head = path[0]
        if head == "crate":
            return path[1:]
        if head in ("self", "super"):
            while path and path[0] == "super":
                module, path = module[:-1], path[1:]
            return module + (path[1:] if path and path[0] == "self" else path)
        if tuple(module + [head]) in self.files:
            return module + path
        return None

    def target(self, module, path, seen=()):
        """The module that defines what `path`, written in `module`, names."""
        absolute = self.absolute(module, path)
        if absolute is None:
            return None
        length = len(absolute)
        while tuple(absolute[:length]) not in self.files:
            length -= 1
        found, rest = tuple(absolute[:length]), absolute[length:]
        if rest and rest[0] in self.exports[found] and (found, rest[0]) not in seen:
            further = self.target(found, self.exports[found][rest[0]], (*seen, (found, rest[0])))
            return further if further is not None else found
        return found

    def arrows(self, module):
        paths = list(self.uses[module])
        code = re.sub(r"\buse\s+[^;]+;", "", self.code[module])
        paths += [match.split("::") for match in re.findall(r"\b(?:crate|super|self)(?:::\w+)+", code)]
        children = [name for name in {m[-1] for m in self.files if m and m[:-1] == module}]
        for child in children:
            paths += [match.split("::") for match in re.findall(rf"(?<![:\w]){child}(?:::\w+)+", code)]
        # A re-exported name that the file itself works with is an import too.
        paths += [path for name, path in self.exports[module].items() if re.search(rf"\b{name}\b", code)]
        found = {self.target(module, path) for path in paths}
        return found - {None, module}


def circles(graph):
    """Strongly connected components of more than one node (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            component = []
            while not component or component[-1] != node:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(component)

    sys.setrecursionlimit(10_000)
    for node in graph:
        if node not in index:
            visit(node)
    return found


def main():
    root = Path(__file__).resolve().parent.parent
    count = 0
    for source in sorted(root.glob("crates/*/src")):
        crate = Crate(source)
        graph = {module: crate.arrows(module) for module in crate.files}
        for circle in circles(graph):
            count += 1
            print(f"{source.parent.name}: {len(circle)} files import each other in a circle:")
            for module in sorted(circle):
                others = sorted("::".join(m) or "lib" for m in graph[module] if m in circle)
                print(f"  {crate.files[module].relative_to(root)} -> {', '.join(others)}")
    print(f"{count} circles of imports")
    return count > 0


if __name__ == "__main__":
    sys.exit(main())
