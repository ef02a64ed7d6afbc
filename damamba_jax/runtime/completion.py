"""Scripts for shells that complete commands, flags, and the values of flags.

The scripts are made from the parsers of the commands.
"""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from damamba_jax.runtime.commands import find_commands, load_parser
from damamba_jax.runtime.config_files import packaged_configs


class Flag(NamedTuple):
    """One flag, or one argument without a flag.

    Attributes:
      name: e.g. `"--workdir"`; empty for an argument without a flag.
      takes: kind of value: `""` for a switch, `"file"`, `"folder"`, `"config"`,
        `"names"` or `"text"`.
      names: the values that the flag can take, for `"names"`.
      text: the help of the flag up to its first semicolon.
    """

    name: str
    takes: str
    names: tuple[str, ...]
    text: str


def write_script(shell: str) -> str:
    """Writes the script for a shell.

    Args:
      shell: one of `SHELLS`.
    """
    commands = [
        (name.replace("_", "-"), sentence, _flags(load_parser(name)))
        for name, sentence in find_commands()
    ]
    return SHELLS[shell](commands)


_Commands = Sequence[tuple[str, str, Sequence[Flag]]]


def _flags(parser: argparse.ArgumentParser) -> list[Flag]:
    """Lists the flags and the other arguments of a parser."""
    found = []
    for action in parser._actions:
        names = tuple(getattr(action.type, "names", ()) or action.choices or ())
        text = (action.help or "").partition(";")[0].replace("%%", "%")
        takes = _kind(action, names)
        for flag in action.option_strings or [""]:
            if flag[:2] in ("--", ""):
                found.append(Flag(flag, takes, names, text))
    return found


def _kind(action: argparse.Action, names: Sequence[str]) -> str:
    """Returns the kind of value that an action takes; see `Flag`."""
    if action.nargs == 0:
        return ""
    if names:
        return "names"
    kinds = {"DIR": "folder", "FOLDER": "folder", "FILE": "file", "PATH": "file"}
    metavar = str(action.metavar or "")
    return "config" if metavar.startswith("FILE[") else kinds.get(metavar, "text")


def _configs() -> list[str]:
    """Lists the packaged configurations by the names that work in any folder."""
    return sorted(f"configs/{p.name}" for p in packaged_configs().glob("[!_]*.py"))


def _bash(commands: _Commands) -> str:
    cases = []
    for name, _, flags in commands:
        words = [f"{f.name}{'=' * bool(f.takes)}" for f in flags if f.name]
        bare = [f for f in flags if not f.name]
        words += [word for f in bare for word in f.names]
        lines = [f"    {name})", f'      words="{" ".join(words)}"']
        lines.append(
            f'      files="{"yes" if any(f.takes == "config" for f in bare) else ""}"'
        )
        lines.append('      case "$flag" in')
        for flag in flags:
            if flag.name and flag.takes not in ("", "text"):
                names = f' "{" ".join(flag.names)}"' if flag.names else ""
                lines.append(
                    f"        {flag.name}) _damamba_{flag.takes}{names}; return ;;"
                )
        lines += ["      esac ;;"]
        cases += lines
    names = " ".join(name for name, *_ in commands)
    return _BASH.format(
        commands=names, configs=" ".join(_configs()), cases="\n".join(cases)
    )


_BASH = """\
# Completion of `damamba` in bash: source <(damamba completion bash)
_damamba_lines() {{
  # Names of files may hold spaces.
  local IFS=$'\\n'
  COMPREPLY+=($(compgen "$@" -- "$value"))
  compopt -o filenames 2>/dev/null
}}
_damamba_names() {{ COMPREPLY+=($(compgen -W "$1" -- "$value")); }}
_damamba_folder() {{ _damamba_lines -d; }}
_damamba_file() {{ _damamba_lines -f; }}
_damamba_config() {{
  _damamba_lines -f -X '!*.py'
  _damamba_lines -d
  _damamba_names "{configs}"
}}
_damamba() {{
  local line="${{COMP_LINE:0:COMP_POINT}}" word="" flag="" value="" words="" files=""
  local -a typed
  COMPREPLY=()
  read -ra typed <<< "$line"
  local -i number=${{#typed[@]}}
  if [[ "$line" != *[[:space:]] ]]; then
    number+=-1
    word="${{typed[number]}}"
  fi
  if (( number < 2 )); then
    COMPREPLY=($(compgen -W "{commands} --help --version" -- "$word"))
    return
  fi
  # `--flag=value`, or `--flag value`.
  if [[ "$word" == --*=* ]]; then
    flag="${{word%%=*}}" value="${{word#*=}}"
  elif [[ "${{typed[number-1]}}" == --* && "${{typed[number-1]}}" != *=* ]]; then
    flag="${{typed[number-1]}}" value="$word"
  fi
  case "${{typed[1]}}" in
{cases}
  esac
  value="$word"
  [[ -n "$files" && "$word" != -* ]] && _damamba_config
  COMPREPLY+=($(compgen -W "$words" -- "$word"))
  [[ "${{COMPREPLY[0]}}" == --*= ]] && compopt -o nospace 2>/dev/null
}}
complete -F _damamba damamba
"""


def _zsh(commands: _Commands) -> str:
    described = [
        f"    {_quote(f'{name}:{sentence}')}" for name, sentence, _ in commands
    ]
    cases = []
    for name, _, flags in commands:
        bare = [flag for flag in flags if not flag.name]
        specs = [_zsh_spec(f, 1 + bare.index(f) if f in bare else 0) for f in flags]
        cases.append(f"    {name}) _arguments {' '.join(specs)} ;;")
    return _ZSH.format(commands="\n".join(described), cases="\n".join(cases))


def _zsh_spec(flag: Flag, place: int) -> str:
    """Writes a flag, or the argument at a position, for zsh's `_arguments`."""
    actions = {
        "folder": "_files -/",
        "file": "_files",
        "config": f'_alternative "files:file:_files -g *.py" '
        f'"packaged:packaged:({" ".join(_configs())})"',
        "names": f"({' '.join(flag.names)})",
        "text": " ",
    }
    text = flag.text.replace("[", "(").replace("]", ")").replace(":", " -")
    if not flag.name:
        return _quote(f"{place}:{text}:{actions[flag.takes]}")
    if not flag.takes:
        return _quote(f"{flag.name}[{text}]")
    return _quote(f"*{flag.name}=[{text}]:value:{actions[flag.takes]}")


_ZSH = """\
#compdef damamba
# Completion of `damamba` in zsh: source <(damamba completion zsh)
_damamba() {{
  local -a commands
  commands=(
{commands}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case "$command" in
{cases}
  esac
}}
compdef _damamba damamba
"""


def _fish(commands: _Commands) -> str:
    lines = ["# Completion of `damamba` in fish: damamba completion fish | source"]
    lines.append("complete -c damamba -f")
    for name, sentence, flags in commands:
        lines.append(
            f"complete -c damamba -n __fish_use_subcommand -a {name} "
            f"-d {_quote(sentence)}"
        )
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        for flag in flags:
            lines.append(f"complete -c damamba {seen} {_fish_flag(flag)}".rstrip())
    return "\n".join(lines) + "\n"


def _fish_flag(flag: Flag) -> str:
    actions = {
        "": "",
        "folder": "-r -a '(__fish_complete_directories)'",
        "file": "-r -F",
        "config": f"-r -F -a {_quote(' '.join(_configs()))}",
        "names": f"-x -a {_quote(' '.join(flag.names))}",
        "text": "-x",
    }
    action = actions[flag.takes]
    if not flag.name:
        return action.replace("-r ", "").replace("-x ", "")
    return f"-l {flag.name[2:]} {action} -d {_quote(flag.text)}"


def _quote(text: str) -> str:
    """Puts text between single quotes, which all three shells read in the same way."""
    return "'" + text.replace("'", "").replace("\n", " ") + "'"


SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
