"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer

ScenarioName = Annotated[str, typer.Argument(metavar='SCENARIO', help='A .yaml file, or the name of a shipped one.')]
Overrides = Annotated[list[str] | None,
                      typer.Option('--set', metavar='KEY=VALUE', help='Override one key; repeatable.')]
Engine = Annotated[Any, typer.Option(metavar='auto|simpy|compiled', help='auto: compiled, the same times fast.')]
Out = Annotated[Path, typer.Option(metavar='DIR', help='Where run folders go.')]
Jobs = Annotated[int, typer.Option(min=0, max=4096, help='Processes for replications; 0: one a core.')]
InventoryName = Annotated[str, typer.Option('--inventory', metavar='INVENTORY',
                                            help='A .yaml file, or the name of a shipped one.')]
RunName = Annotated[str | None, typer.Option('--run', metavar='RUN',
                                             help='Its name, if workers elsewhere were started with one.')]
KeysFile = Annotated[Path | None, typer.Option('--keys-file', metavar='FILE',
                                               help='Where the keys of workers elsewhere are left for the run.')]
Provider = Annotated[str | None, typer.Option(metavar='NAME', help='Who does ML-KEM; else the fastest.')]
