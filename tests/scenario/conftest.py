import sys
from pathlib import Path

import pytest

import iomtwin
from tests.scenario.refusals import Refuse, the_line


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Return a function that runs `iomtwin run` and returns the one line that it is refused with."""

    def run(*arguments: str) -> str:
        out = tmp_path / 'out'
        monkeypatch.setattr(sys, 'argv', ['iomtwin', 'run', *arguments, '--out', str(out)])
        with pytest.raises(SystemExit) as caught:
            iomtwin.main()
        printed = capsys.readouterr()
        assert caught.value.code == 2
        assert printed.out == ''
        assert not out.exists()
        return the_line(printed.err)

    return run
