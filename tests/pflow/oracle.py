"""Answers what pflow's own parser says about markdown workflows.

Reads one JSON object a line, {"name", "text"}, and writes one a line, in the same order:
{"name", "taken", "error", "kind", "line", "ir", "title", "description", "metadata", "warnings"}.

The values of "ir" and "metadata" are in the form of our `YamlValue::to_json`: integers beyond 64 bits, numbers that
are not finite and times are text, and so are keys that are no text. Line numbers are left out.
If the parser refuses the syntax of Python code, the answer is what it says with that code taken for empty, and
"python" is true.
"""

import ast
import datetime
import json
import math
import sys

import pflow.core.markdown_parser as parser
from pflow.core.exceptions import MarkdownParseError


def plain(value):
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # Half of a surrogate pair, which only an escape of YAML makes, has no form in JSON.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return value
        # Python writes at most 4300 digits.
        return str(value) if value.bit_length() < 14000 else "<int>"
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        return value
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key_of(key): plain(each) for key, each in value.items()}
    # A set, a tuple or bytes.
    return f"<{type(value).__name__}>"


def key_of(key):
    key = plain(key)
    return key if isinstance(key, str) else json.dumps(key)


def workflow(ir):
    """The workflow without the line numbers."""
    ir = dict(ir)
    ir["nodes"] = [without(node, "_source_line", "_source_lines") for node in ir["nodes"]]
    if "outputs" in ir:
        ir["outputs"] = {name: without(output, "_source_line") for name, output in ir["outputs"].items()}
    if "cache" in ir:
        ir["cache"] = without(ir["cache"], "_source_line")
        ir["cache"]["items"] = [without(item, "_source_line") for item in ir["cache"]["items"]]
    return plain(ir)


def without(fields, *names):
    return {key: value for key, value in fields.items() if key not in names}


def answer(text):
    try:
        result = parser.parse_markdown(text)
        return {
            "taken": True,
            "ir": workflow(result.ir),
            "title": result.title,
            "description": result.description,
            "metadata": plain(result.metadata),
            "warnings": len(result.warnings),
        }
    except MarkdownParseError as error:
        cause = error.__cause__
        cause = "SyntaxError" if isinstance(cause, SyntaxError) else type(cause).__name__
        return {"taken": False, "kind": cause, "error": plain(str(error)[:300]), "line": error.line}
    except RecursionError:
        return {"taken": False, "kind": "RecursionError", "error": "too deep", "line": None}
    # Whatever else it stumbles over, it does not take the document.
    except Exception as error:
        return {"taken": False, "kind": type(error).__name__, "error": plain(str(error)[:300]), "line": None}


real_ast_parse = ast.parse


def lenient_ast_parse(code, *arguments, **options):
    try:
        return real_ast_parse(code, *arguments, **options)
    except SyntaxError:
        return real_ast_parse("")


def full_answer(text):
    first = answer(text)
    if first.get("kind") != "SyntaxError":
        return {**first, "python": False}
    parser.ast.parse = lenient_ast_parse
    try:
        return {**answer(text), "python": True}
    finally:
        parser.ast.parse = real_ast_parse


def main():
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"name": asked["name"], **full_answer(asked["text"])}))


if __name__ == "__main__":
    main()
