"""vremove models: list, fetch, pin, check and delete models."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vremove_cli.commands.signature import Given, PlainGroup, PlainHelp, command, reporting
from vremove_cli.console import Console, format_bytes
from vremove_cli.errors import ModelError, UsageError
from vremove_cli.job.request import Request
from vremove_cli.options import Option, values_from

if TYPE_CHECKING:
    from vremove_cli.weights.catalogue import Model

models = typer.Typer(
    cls=PlainGroup,
    help="List, show, pull, verify, rm and lock the models that vremove can fetch.\n\nvremove models list",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Models, as `vremove models list` names.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model, as `vremove models list` names it.")]
All = Annotated[bool, typer.Option("--all", help="Take every model that was fetched.")]


def _has(*names: str) -> Any:
    """Return a filter of options by name."""

    def only(opt: Option) -> bool:
        return opt.name in names

    return only


_LOOK = _has("models", "json", "debug")
_FETCH = _has("models", "accept_license", "json", "progress", "quiet", "debug")


@models.command("list", cls=PlainHelp)
@command(Request, name="models_list", only=_LOOK)
def list_models(given: Given) -> None:
    """List the models: whether each runs here, its licence, size, whether it is cached, and what uses it.

    vremove models list
    """
    with reporting(given) as console:
        from vremove_cli.weights.catalogue import catalogue

        rows = [_facts(m) for m in catalogue(_own(given)).values()]
        lines = [("name", "task", "runs here", "licence", "size", "cached", "commit", "used by")]
        lines += [
            (
                r["name"],
                r["task"],
                r["runs_here"],
                r["licence_word"],
                _size(r),
                "yes" if r["cached"] else "no",
                _pinned(r),
                r["used_by"] or "no command",
            )
            for r in rows
        ]
        widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
        table = ["  ".join(f"{v:{w}}" for v, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        console.data("models", {"models": rows}, "\n".join(table))


@models.command(cls=PlainHelp)
@command(Request, name="models_show", only=_LOOK)
def show(name: Name, given: Given) -> None:
    """Show all that is known of one model.

    vremove models show sam2-tiny
    """
    with reporting(given) as console:
        from vremove_cli.weights.catalogue import catalogue, find

        facts = _facts(find(name, catalogue(_own(given))))
        shown = {k: _plain(v) for k, v in facts.items() if v not in ("", None, [], (), {})}
        console.data("model", facts, "\n".join(f"{k}: {v}" for k, v in shown.items()))


@models.command(cls=PlainHelp)
@command(Request, name="models_pull", only=_FETCH)
def pull(
    given: Given,
    names: Names = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Fetch every model that a command runs and that is free for any use.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and fetch nothing.")] = False,
) -> None:
    """Fetch models. A broken-off transfer continues; cached models are left alone.

    vremove models pull sam2-tiny
    """
    with reporting(given) as console:
        accepted = _accepted(given)
        wanted = _chosen(names, everything, _own(given))
        if everything:
            free = [m for m in wanted if m.repo and (m.commercial or {m.name, m.licence} & set(accepted))]
            wanted = [m for m in free if _used_by(m)]
        done: list[dict[str, Any]] = []
        failed: list[str] = []
        for model in wanted:
            try:
                done.append(_sized(console, model, accepted) if dry_run else _pulled(console, model, accepted))
            except ModelError as error:
                if len(wanted) == 1:
                    raise
                console.complain(error)
                failed.append(model.name)
        text = "\n".join(str(d.get("folder", f"{d['name']} {d.get('bytes')}")) for d in done)
        if done or not failed:
            console.data("models", {"models": done}, text)
        if failed:
            problem = f"{len(failed)} of {len(wanted)} models could not be fetched ({', '.join(failed)})"
            raise ModelError(problem, "see above for each; the others are here")


@models.command(cls=PlainHelp)
@command(Request, name="models_verify", only=_LOOK)
def verify(given: Given, names: Names = None, everything: All = False) -> None:
    """Compare cached files with the hashes they had when they were first fetched.

    vremove models verify sam2-tiny
    """
    with reporting(given) as console:
        from vremove_cli.weights import store

        wanted = _fetched(names, everything, _own(given))
        if not wanted:
            raise ModelError("no model was fetched yet", "`vremove models pull NAME` fetches one")
        wrong = {m.name: store.verify(m) for m in wanted}
        facts = [{"name": name, "faults": faults} for name, faults in wrong.items()]
        console.data(
            "verified",
            {"models": facts},
            "\n".join(f"{n}: {', '.join(w) or 'all files are unchanged'}" for n, w in wrong.items()),
        )
        if bad := [n for n, w in wrong.items() if w]:
            first = wrong[bad[0]][0]
            raise ModelError(f"{bad[0]}: {first}", f"`vremove models rm {bad[0]}`, then pull it again")


@models.command("rm", cls=PlainHelp)
@command(Request, name="models_rm", only=_has("models", "json", "quiet", "debug"))
def remove(given: Given, names: Names = None) -> None:
    """Delete models' files from the cache; files that another model uses stay.

    vremove models rm sam2-tiny
    """
    with reporting(given) as console:
        from vremove_cli.weights import store
        from vremove_cli.weights.catalogue import catalogue

        wanted = _chosen(names, False, _own(given))
        freed = {m.name: store.remove(m, catalogue(_own(given))) for m in wanted}
        facts = [{"name": name, "bytes": size} for name, size in freed.items()]
        console.data(
            "removed", {"models": facts}, "\n".join(f"{n}: {format_bytes(size)} freed" for n, size in freed.items())
        )


@models.command(cls=PlainHelp)
@command(Request, name="models_lock", only=_FETCH)
def lock(given: Given, names: Names = None, everything: All = False) -> None:
    """Pin models to the commit that their revision is now, and fetch it; without a name, print the pins.

    vremove models lock sam2-tiny
    """
    with reporting(given) as console:
        from dataclasses import asdict

        from vremove_cli.job.model_fetch import fetch_progress
        from vremove_cli.weights import store
        from vremove_cli.weights.lock import lock_path, pins

        if names or everything:
            own = _own(given)
            for model in _fetched(names, everything, own) if everything else _chosen(names, False, own):
                with console.watching() as event:
                    store.relock(model, _accepted(given), fetch_progress(event))
        pinned = pins()
        text = "\n".join(f"{name} {pin.repo}@{pin.commit}" for name, pin in pinned.items())
        console.say(str(lock_path()))
        console.data("pins", {"pins": {n: asdict(p) for n, p in pinned.items()}}, text or "nothing is pinned yet")


def _own(given: Given) -> str | None:
    """Return the path of the user's own models.toml."""
    found = values_from(Request, given.of(Request)).get("models")
    return None if found is None else str(found)


def _accepted(given: Given) -> tuple[str, ...]:
    """Return the models and licences whose limits of use the user accepts."""
    return tuple(values_from(Request, given.of(Request)).get("accept_license", ()))


def _sized(console: Console, model: "Model", accepted: tuple[str, ...]) -> dict[str, Any]:
    """How much a pull would fetch."""
    from vremove_cli.weights import store

    store.check_licence(model, accepted)
    size = store.to_fetch(model)
    console.say(f"{model.name}: {format_bytes(size) + ' to fetch' if size else 'is here'}")
    return {"name": model.name, "bytes": size}


def _pulled(console: Console, model: "Model", accepted: tuple[str, ...]) -> dict[str, Any]:
    """Fetch a model; gives where it lies."""
    from vremove_cli.job.model_fetch import fetch_progress
    from vremove_cli.weights import store

    store.check_licence(model, accepted)
    here = store.find_cached(model) is not None
    console.say(f"{model.name}: is here" if here else f"{model.name}: {model.repo}, {model.licence}")
    with console.watching() as event:
        found = store.pull(model, accepted, fetch_progress(event))
    return {"name": model.name, "folder": found.path, "commit": found.commit}


def _chosen(names: list[str] | None, everything: bool, own: str | None) -> list["Model"]:
    """Models by name, or all."""
    from vremove_cli.weights.catalogue import catalogue, find

    known = catalogue(own)
    if bool(names) == everything:
        raise UsageError("which models?", "name some, as `vremove models list` does, or say --all where there is one")
    return list(known.values()) if everything else [find(n, known) for n in dict.fromkeys(names or ())]


def _fetched(names: list[str] | None, everything: bool, own: str | None) -> list["Model"]:
    """Models by name, or all that were fetched."""
    from vremove_cli.weights.lock import pin_of

    chosen = _chosen(names, everything or not names, own)
    return chosen if names else [m for m in chosen if pin_of(m) is not None]


def _facts(model: "Model") -> dict[str, Any]:
    from dataclasses import asdict

    from vremove_cli.job.runs_here import licence_word, runs_here
    from vremove_cli.weights import store
    from vremove_cli.weights.lock import pin_of

    pin, used_by = pin_of(model), _used_by(model)
    return {
        **asdict(model), "runs_here": runs_here(model) if used_by else "no", "licence_word": licence_word(model),
        "cached": bool(model.repo) and store.find_cached(model) is not None,
        "pinned": pin.commit if pin else None, "used_by": used_by,
    }  # fmt: skip


def _used_by(model: "Model") -> str:
    """The option that runs a model; empty for one that no command runs."""
    from vremove_cli.removers import registry
    from vremove_cli.removers.rorem.success import BASE, JUDGE
    from vremove_cli.weights.catalogue import DETECTOR

    if model.name in (JUDGE, BASE):
        return "score, --candidates"
    for name, spec in registry.specs().items():
        if model.name in spec.all_models:
            return f"--remover {name}"
    if model.task == "reason":
        return f"--affected-by vlm:{model.name}"
    if model.architecture and model.task == "track":
        return f"--tracker {model.name}"
    return "--text" if model.name == DETECTOR else ""


def _size(row: dict[str, Any]) -> str:
    return format_bytes(row["megabytes"] * 1_000_000) if row["megabytes"] else "?"


def _pinned(row: dict[str, Any]) -> str:
    return row["pinned"][:12] if row["pinned"] else "by hand" if not row["repo"] else f"{row['revision']} (unpinned)"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k} {_plain(v)}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
