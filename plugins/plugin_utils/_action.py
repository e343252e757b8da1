# Copyright (c) 2026, the cutover.bluegreen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one way in and out of this collection's action plugins.

Private to the collection: it may change in any release.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.utils.display import Display

from ansible_collections.cutover.bluegreen.plugins.module_utils import _deps
from ansible_collections.cutover.bluegreen.plugins.module_utils._argspec import (
    EXPECTED,
    MODULES,
    RELEASE,
    ROLLOUT,
    SECRETS,
    WAIT,
    WATCH,
    mask,
    secrets_of,
    without_empty,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._driver import (
    Guard,
    holder_of,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._errors import (
    BadInput,
    BluegreenError,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._manifests import (
    is_name,
    is_text,
)
from ansible_collections.cutover.bluegreen.plugins.module_utils._tasks import (
    Runtime,
    execute,
)
from ansible_collections.cutover.bluegreen.plugins.plugin_utils import _status_file
from ansible_collections.cutover.bluegreen.plugins.plugin_utils._terminal import (
    NoTerminalError,
    Terminal,
    refuse_automation,
)

Args = dict[str, t.Any]

_ROLE = "cutover.bluegreen.bluegreen"
_VARIABLES = sorted(
    {
        *ROLLOUT,
        *EXPECTED,
        *RELEASE,
        *SECRETS,
        *WAIT,
        *WATCH,
        "full",
        "to_revision",
        "past_no_return",
    }
    # The role sets these itself.
    - {"state", "until"}
)
# Short names are words, too: they are options only at the head of a message.
_SHORT = "|".join(v for v in _VARIABLES if "_" not in v)
_AT_HEAD = re.compile(rf"(?:^|(?<=\] error: ))(?:{_SHORT})(?=: |\[)", re.M)
_TYPES = {
    "int": "a whole number",
    "bool": "true or false",
    "str": "a string",
    "path": "a path",
}
_WANTED = {"files": "a manifest, or its text", "tasks": "a task file"}
_IN_TEXT = re.compile(rf"\b(?:{'|'.join(v for v in _VARIABLES if '_' in v)})\b")


def run_action(action: t.Any, task_vars: t.Mapping[str, t.Any]) -> Args:
    """Run the module of the same name, in this process where that is the same.

    On a local connection the work is done here: no second interpreter, and lines on
    the screen while it waits. Elsewhere (a bastion that holds the kubeconfig), under
    ``become``, and where this Python lacks a library, the real module gets it.

    :param action: the action plugin.
    """
    try:
        status_file = _status_file.place_of(action._task.args.get("status_file"))
        result = _run(action, task_vars)
    except BluegreenError as error:
        result = {"failed": True, "changed": False, "msg": str(error)}
        status_file = ""
    if status_file and "rollout" in result and not action._task.check_mode:
        _write_status(status_file, result)
    if _is_in_role(action):
        if result.get("failed"):
            result["msg"] = _with_variables(str(result.get("msg", "")))
        for finding in _findings_of(result):
            head = _with_variables(f"{finding['object']}: ").removesuffix(": ")
            finding.update(object=head, message=_with_variables(finding["message"]))
    return result


def _write_status(path: str, result: Args) -> None:
    try:
        _status_file.write(path, result)
    except BadInput as error:
        # What went wrong first is what a person needs to read first.
        messages = filter(None, (result.get("msg"), str(error)))
        result.update(failed=True, msg=" ".join(messages))


def _findings_of(result: Args) -> list[dict[str, str]]:
    """The advice in a result: of a lint, or of a plan."""
    plan = result.get("plan") or {}
    found: list[dict[str, str]] = plan.get("findings") or result.get("findings") or []
    return found


def _run(action: t.Any, task_vars: t.Mapping[str, t.Any]) -> Args:
    module = str(action._task.action).rpartition(".")[2]
    args, unread = _plain_args(action, module)
    if unread and (module != "bluegreen_lint" or _must_hand_over(action)):
        raise BadInput(unread[0])
    secrets = secrets_of(MODULES[module], args)
    host = str(task_vars.get("inventory_hostname", ""))
    holder = holder_of(os.getppid(), host, os.environ, _user_of_job(task_vars))
    with Guard(None) as guard:
        params = _validated(module, args)
        terminal = _terminal(action, params, guard, task_vars)
        if _must_hand_over(action):
            return _hand_over(action, args, holder.hand_over(), task_vars)
        display = Display()
        environment = dict(os.environ)
        extra: Args = {}
        action._compute_environment_string(extra)
        environment.update({k: str(v) for k, v in extra.items()})
        # These lines are advice: it must name what the reader can set.
        advises = _is_in_role(action) and (
            module == "bluegreen_lint" or bool(action._task.check_mode)
        )
        runtime = Runtime(
            environment=environment,
            report=lambda line: display.display(
                mask(_with_variables(line) if advises else line, secrets)
            ),
            holder=holder,
            guard=guard,
            check_mode=bool(action._task.check_mode),
            terminal=terminal,
        )
        if unread:
            params["_unread"] = unread
        result: Args = execute(module, params, runtime)
    for warning in result.pop("warnings", []):
        display.warning(mask(warning, secrets))
    if not action._task.diff:
        result.pop("diff", None)
    shown: Args = mask(result, secrets)
    shown["invocation"] = {"module_args": _redacted(module, params, secrets)}
    return shown


def _user_of_job(task_vars: t.Mapping[str, t.Any]) -> str:
    """Who started the job in AWX, which runs all of them as one user."""
    users = (task_vars.get(f"{product}_user_name") for product in ("awx", "tower"))
    return " ".join(str(next(filter(None, users), "")).split())


def _terminal(
    action: t.Any, params: Args, guard: Guard, task_vars: t.Mapping[str, t.Any]
) -> Terminal | None:
    """Where a person is asked, if that is wanted and possible; else it is said why."""
    if not params.get("interactive") or action._task.check_mode:
        return None
    try:
        _refuse_to_ask(action, params, task_vars)
        return Terminal(os.getppid(), guard)
    except NoTerminalError as error:
        text = (
            f"interactive: ignored, because {error}; nobody is asked, and the gate"
            " stays shut until the release is promoted or its countdown ends."
        )
        Display().warning(_with_variables(text) if _is_in_role(action) else text)
        return None


def _refuse_to_ask(
    action: t.Any, params: Args, task_vars: t.Mapping[str, t.Any]
) -> None:
    """Return where one person can be asked about one rollout.

    :raises NoTerminalError: not here.
    """
    if _must_hand_over(action):
        raise NoTerminalError(
            f"the task runs by the connection {action._connection.transport}, away from"
            " the terminal"
        )
    if params["wait"] == "detach":
        raise NoTerminalError("wait is detach, which stays for nobody")
    hosts = len(task_vars.get("ansible_play_hosts_all") or ())
    if hosts > 1:
        raise NoTerminalError(f"the play has {hosts} hosts, and one terminal")
    refuse_automation(os.environ)


def _is_in_role(action: t.Any) -> bool:
    role = action._task._role
    return role is not None and role.get_name() == _ROLE


def _with_variables(message: str) -> str:
    """A message for the role's user, who knows the options as variables."""
    return _IN_TEXT.sub(r"bluegreen_\g<0>", _AT_HEAD.sub(r"bluegreen_\g<0>", message))


def _plain_args(action: t.Any, module: str) -> tuple[Args, list[str]]:
    """The task's arguments as plain builtins, '' as not given, files read; and what is
    said of each file that cannot be.
    """
    args = without_empty(json.loads(json.dumps(dict(action._task.args), default=str)))
    unread: list[str] = []
    for option, read in _FILES.items():
        if option not in args or option not in MODULES[module]:
            continue
        try:
            args[option] = read(action, args[option], option)
        except BadInput as error:
            unread.append(str(error))
    for option, rule in MODULES[module].items():
        if rule.get("type") == "list" and isinstance(args.get(option), str):
            args[option] = _list_of(args[option])
    return args, unread


def _list_of(text: str) -> object:
    """A list that was sent as YAML or JSON text; else the text, commas and all."""
    if not is_text(text):
        return text
    try:
        value = _deps.yaml.safe_load(text)
    except _deps.yaml.YAMLError:
        return text
    return value if isinstance(value, list) else text


def _texts_of(action: t.Any, value: object, option: str) -> list[object]:
    """One of what :func:`_text_of` takes, or a list of it."""
    listed = _list_of(value) if isinstance(value, str) else value
    items = listed if isinstance(listed, list) else [listed]
    return [_text_of(action, item, option) for item in items if item != ""]


def _with_task_files(action: t.Any, value: object, option: str) -> object:
    """The hooks with the path of each task file as it was found.

    :raises BadInput: there is none, or it is no list of tasks.
    """
    hooks = _list_of(value) if isinstance(value, str) else value
    if not isinstance(hooks, list):
        return value
    return [
        {
            **hook,
            "tasks": _task_file(action, hook["tasks"], f"{option}[{index}]: tasks"),
        }
        if isinstance(hook, dict) and isinstance(hook.get("tasks"), str)
        else hook
        for index, hook in enumerate(hooks)
    ]


def _task_file(action: t.Any, value: str, option: str) -> str:
    if not value:
        return value
    path = os.path.abspath(os.path.expanduser(value))
    if not os.path.isfile(path):
        path = os.path.abspath(_searched(action, value, option, "tasks"))
    try:
        tasks = action._loader.load_from_file(path)
    except AnsibleError as error:
        raise BadInput(f"{option}: {path} cannot be read: {error}") from error
    if not isinstance(tasks, list) or not all(isinstance(each, dict) for each in tasks):
        raise BadInput(
            f"{option}: {path} is no list of tasks; give a file such as include_tasks"
            " takes."
        )
    return path


def _text_of(action: t.Any, value: object, option: str) -> object:
    """A mapping or YAML text as it is; the contents of a file that is named."""
    if not isinstance(value, str) or is_text(value):
        return value
    path = os.path.abspath(os.path.expanduser(value))
    if not os.path.isfile(path):
        path = _searched(action, value, option)
    try:
        with open(action._loader.get_real_file(path), encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError, AnsibleError) as error:
        raise BadInput(f"{option}: {path} cannot be read: {error}") from error


def _service_of(action: t.Any, value: object, option: str) -> object:
    """A Service's name, or what :func:`_text_of` takes."""
    if isinstance(value, str) and not is_name(value):
        return _text_of(action, value, option)
    return value


def _one_text_of(action: t.Any, value: object, option: str) -> str:
    """Also for the module: of what is kept out of logs, Ansible masks each part of a
    structure wherever it occurs.
    """
    return json.dumps(_texts_of(action, value, option))


# The options that may be files, and how these are read.
_FILES: dict[str, t.Callable[[t.Any, object, str], object]] = {
    "definition": _text_of,
    "config": _one_text_of,
    "active_service": _service_of,
    "preview_service": _service_of,
    "analysis_templates": _texts_of,
    "hooks": _with_task_files,
}


def _searched(action: t.Any, path: str, option: str, kind: str = "files") -> str:
    stack = action._task.get_search_path()
    try:
        found = action._loader.path_dwim_relative_stack(stack, kind, path)
    except AnsibleError:
        found = None
    if found:
        return str(found)
    places = [os.path.abspath(path)]
    if not os.path.isabs(path):
        for folder in [*stack, action._loader.get_basedir()]:
            places += [
                os.path.join(folder, kind, path),
                os.path.join(folder, path),
            ]
    raise BadInput(
        f"{option}: the file {path} was not found; searched"
        f" {', '.join(dict.fromkeys(places))}. Give the path of"
        f" {_WANTED[kind]}."
    )


def _must_hand_over(action: t.Any) -> bool:
    connection = action._connection
    elevated = getattr(connection, "become", None) is not None
    return connection.transport != "local" or elevated or bool(_deps.MISSING)


def _hand_over(
    action: t.Any, args: Args, holder: str, task_vars: t.Mapping[str, t.Any]
) -> Args:
    result: Args = action._execute_module(
        module_name=action._task.action,
        module_args={**args, "_holder": holder},
        task_vars=task_vars,
    )
    # The module could not show a line.
    for verb, command in (result.get("commands") or {}).items():
        Display().display(f"bluegreen: to {verb} it: {command}")
    return result


def _validated(module: str, args: Args) -> Args:
    for option, rule in MODULES[module].items():
        if rule.get("required") and option not in args:
            raise BadInput(f"{option}: nothing was given, and it is required.")
    checked = ArgumentSpecValidator(MODULES[module]).validate(args)
    if checked.error_messages:
        told = [_in_our_words(message) for message in checked.error_messages]
        # Who lints wants to read all of them, anybody else the first.
        raise BadInput("\n".join(told if module == "bluegreen_lint" else told[:1]))
    parameters: Args = checked.validated_parameters
    return parameters


def _in_our_words(message: str) -> str:
    """Ansible's message about one argument as a sentence that begins with its name."""
    kind = re.match(r"argument '(\w+)' is of type .* convert to (\w+):", message)
    if kind:
        option, wanted = kind.groups()
        found = message.rpartition(": ")[2].partition(" cannot be")[0].strip("\"'<>")
        wanted = _TYPES.get(wanted, wanted)
        return f"{option}: {found!r} was found, {wanted} is expected."
    choice = re.match(r"value of (\w+) must be one of: (.*), got: (.*)", message)
    choice = choice or re.match(
        r"value of (\w+) must be one or more of: (.*)\. Got no match for: (.*)", message
    )
    if choice:
        option, wanted, found = choice.groups()
        return f"{option}: {found!r} was found, one of {wanted} is expected."
    return f"{message.rstrip('.')}."


def _redacted(module: str, params: Args, secrets: t.Collection[str]) -> Args:
    """What a person may see of the arguments."""
    shown = {k: v for k, v in params.items() if not k.startswith("_")}
    for option, rule in MODULES[module].items():
        if rule.get("no_log") and shown.get(option) is not None:
            shown[option] = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    masked: Args = mask(shown, secrets)
    return masked
