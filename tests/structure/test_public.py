"""Every public function and method says what it does and takes."""

import ast

from source import public_functions


def test_every_public_function_has_a_docstring():
    missing = [
        name
        for name, function in public_functions()
        if not name.endswith("__") and not ast.get_docstring(function)
    ]
    assert not missing, "\n".join(missing)


def test_every_public_function_has_types():
    missing = [name for name, function in public_functions() if untyped(function)]
    assert not missing, "\n".join(missing)


def untyped(function: ast.FunctionDef) -> bool:
    """Whether an argument, or the return value, has no annotation."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [arg for arg in (arguments.vararg, arguments.kwarg) if arg]
    bare = [a.arg for a in named if a.annotation is None]
    returns = function.returns is not None or function.name == "__init__"
    return bool(set(bare) - {"self", "cls"}) or not returns
