"""Where a scenario came from, for whoever finds later that a part does not fit: errors name file, line and key."""

from collections.abc import Iterable

from sim.errors import InputError
from sim.yaml_source import Location, Marks, in_file, line_of, spell_key


class Origin:
    """Where a scenario came from: its file, the lines of its keys, and the overrides."""

    def __init__(self, file: str, marks: Marks, overridden: Iterable[Location] = ()) -> None:
        self.file = file
        self._marks = marks
        self._overridden = set(overridden)
        self.arrivals: dict[tuple[str, str], str] = {}  # class and stream -> the CSV file that it was read from

    def error(self, location: Location, message: str) -> InputError:
        """Return an error that names the file, the line and the key."""
        return InputError(f'{self.where(location)}: {message}')

    def where(self, location: Location) -> str:
        """Return the file, the line and the key, or the override that the key comes from."""
        if any(location[:n] in self._overridden for n in range(1, len(location) + 1)):
            return f'--set {spell_key(location)}'
        return in_file(self.file, line_of(self._marks, location), location)
