"""vremove models: what models there are, and getting, checking and deleting them."""

from typing import Annotated, Any

import typer

from vremove_cli.commands import options as o
from vremove_cli.commands.common import console, exits
from vremove_cli.console import Console, human
from vremove_cli.errors import ModelError, UsageError

models = typer.Typer(
    help="The models that vremove can fetch: list, show, pull, verify, rm, lock.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Models, as `vremove models list` names.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model, as `vremove models list` names it.")]
All = Annotated[bool, typer.Option("--all", help="Every model that was fetched.")]


@models.command("list")
def list_models(own: o.OwnModels = None, json: o.Json = False, debug: o.Debug = False) -> None:
    """Name, task, size, licence, and whether a model is here and held to a commit."""
    talk = console(json=json, debug=debug)
    with exits(talk):
        from vremove_cli.weights.catalogue import catalogue

        rows = [_facts(m) for m in catalogue(own).values()]
        lines = [("name", "task", "size", "licence", "here", "commit", "used by")]
        lines += [
            (r["name"], r["task"], _size(r), r["licence"], "yes" if r["cached"] else "no", _pinned(r), r["used_by"])
            for r in rows
        ]
        widths = [max(len(line[k]) for line in lines) for k in range(7)]
        table = ["  ".join(f"{v:{w}}" for v, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        talk.data(rows, "\n".join(table))


@models.command()
def show(name: Name, own: o.OwnModels = None, json: o.Json = False, debug: o.Debug = False) -> None:
    """All that is known of one model."""
    talk = console(json=json, debug=debug)
    with exits(talk):
        from vremove_cli.weights.catalogue import catalogue, find

        facts = _facts(find(name, catalogue(own)))
        talk.data(facts, "\n".join(f"{k}: {_plain(v)}" for k, v in facts.items() if v not in ("", None, [], ())))


@models.command()
def pull(
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model on the Hub that is free for any use.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and fetch nothing.")] = False,
    accept: o.AcceptLicence = None,
    own: o.OwnModels = None,
    json: o.Json = False,
    progress: o.ProgressMode = "auto",
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Fetch models. What was begun goes on where it broke off; what is here already is left alone."""
    talk = console(json=json, progress=progress, quiet=quiet, debug=debug)
    with exits(talk):
        wanted = _chosen(names, everything, own)
        if everything:
            wanted = [m for m in wanted if m.repo and (m.commercial or {m.name, m.licence} & set(accept or ()))]
        done: list[dict[str, Any]] = []
        failed: list[str] = []
        for model in wanted:
            try:
                done.append(_sized(talk, model, accept or []) if dry_run else _pulled(talk, model, accept or []))
            except ModelError as error:
                if len(wanted) == 1:
                    raise
                talk.complain(str(error))
                failed.append(model.name)
        talk.data(done, "\n".join(str(d.get("folder", f"{d['name']} {d.get('bytes')}")) for d in done))
        if failed:
            problem = f"{len(failed)} of {len(wanted)} models could not be fetched ({', '.join(failed)})"
            raise ModelError(problem, "see above for each; the others are here")


@models.command()
def verify(
    names: Names = None, everything: All = False, own: o.OwnModels = None, json: o.Json = False, debug: o.Debug = False
) -> None:
    """Compare the files of fetched models with the hashes they had when they were first fetched."""
    talk = console(json=json, debug=debug)
    with exits(talk):
        from vremove_cli.weights import store

        wanted = _held(names, everything, own)
        wrong = {m.name: store.verify(m) for m in wanted}
        talk.data(wrong, "\n".join(f"{n}: {', '.join(w) or 'all files are what they were'}" for n, w in wrong.items()))
        if bad := [n for n, w in wrong.items() if w]:
            first = wrong[bad[0]][0]
            raise ModelError(f"{bad[0]}: {first}", f"`vremove models rm {bad[0]}`, then pull it again")


@models.command("rm")
def remove(
    names: Names = None, own: o.OwnModels = None, quiet: o.Quiet = False, json: o.Json = False, debug: o.Debug = False
) -> None:
    """Delete models' files from the cache; files that another model uses stay."""
    talk = console(json=json, quiet=quiet, debug=debug)
    with exits(talk):
        from vremove_cli.weights import store
        from vremove_cli.weights.catalogue import catalogue

        wanted = _chosen(names, False, own)
        freed = {m.name: store.remove(m, catalogue(own)) for m in wanted}
        talk.data(freed, "\n".join(f"{n}: {human(size)} freed" for n, size in freed.items()))


@models.command()
def lock(
    names: Names = None,
    everything: All = False,
    accept: o.AcceptLicence = None,
    own: o.OwnModels = None,
    json: o.Json = False,
    progress: o.ProgressMode = "auto",
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Hold models to the commit that their revision is now, and fetch it; without a name, print what is held."""
    talk = console(json=json, progress=progress, quiet=quiet, debug=debug)
    with exits(talk):
        from dataclasses import asdict

        from vremove_cli.job.model_fetch import fetch_progress
        from vremove_cli.weights import store
        from vremove_cli.weights.lock import lock_path, pins

        if names or everything:
            for model in _held(names, everything, own) if everything else _chosen(names, False, own):
                with talk.watching() as event:
                    store.relock(model, accept or (), fetch_progress(event))
        held = pins()
        text = "\n".join(f"{name} {pin.repo}@{pin.commit}" for name, pin in held.items())
        talk.say(str(lock_path()))
        talk.data({n: asdict(p) for n, p in held.items()}, text or "nothing is held yet")


def _sized(talk: Console, model: Any, accepted: list[str]) -> dict[str, Any]:
    """How much a pull would fetch."""
    from vremove_cli.weights import store

    store.check_licence(model, accepted)
    size = store.to_fetch(model)
    talk.say(f"{model.name}: {human(size) + ' to fetch' if size else 'is here'}")
    return {"name": model.name, "bytes": size}


def _pulled(talk: Console, model: Any, accepted: list[str]) -> dict[str, Any]:
    """Fetch a model; gives where it lies."""
    from vremove_cli.job.model_fetch import fetch_progress
    from vremove_cli.weights import store

    store.check_licence(model, accepted)
    here = store.find_cached(model) is not None
    talk.say(f"{model.name}: is here" if here else f"{model.name}: {model.repo}, {model.licence}")
    with talk.watching() as event:
        found = store.pull(model, accepted, fetch_progress(event))
    return {"name": model.name, "folder": found.folder, "commit": found.commit}


def _chosen(names: list[str] | None, everything: bool, own: str | None) -> list[Any]:
    """Models by name, or all."""
    from vremove_cli.weights.catalogue import catalogue, find

    known = catalogue(own)
    if bool(names) == everything:
        raise UsageError("which models?", "name some, as `vremove models list` does, or say --all where there is one")
    return list(known.values()) if everything else [find(n, known) for n in dict.fromkeys(names or ())]


def _held(names: list[str] | None, everything: bool, own: str | None) -> list[Any]:
    """Models by name, or all that were fetched."""
    from vremove_cli.weights.lock import pin_of

    chosen = _chosen(names, everything or not names, own)
    return chosen if names else [m for m in chosen if pin_of(m) is not None]


def _facts(model: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from vremove_cli.weights import store
    from vremove_cli.weights.lock import pin_of

    pin = pin_of(model)
    return {
        **asdict(model), "cached": bool(model.repo) and store.find_cached(model) is not None,
        "pinned": pin.commit if pin else None, "used_by": _used_by(model),
    }  # fmt: skip


def _used_by(model: Any) -> str:
    """The option that runs a model."""
    from vremove_cli.removers import registry
    from vremove_cli.weights.catalogue import DETECTOR

    for name, spec in registry.specs().items():
        if model.name in spec.all_models:
            return f"--remover {name}"
    if model.task == "reason":
        return f"--affected-by vlm:{model.name}"
    if model.architecture and model.task == "track":
        return f"--tracker {model.name}"
    return "--text" if model.name == DETECTOR else "no command yet"


def _size(row: dict[str, Any]) -> str:
    return human(row["megabytes"] * 1_000_000) if row["megabytes"] else "?"


def _pinned(row: dict[str, Any]) -> str:
    return row["pinned"][:12] if row["pinned"] else "by hand" if not row["repo"] else f"{row['revision']} (unpinned)"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
