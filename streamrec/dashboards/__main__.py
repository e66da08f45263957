"""`python -m streamrec.dashboards`: write the dashboards below the current folder."""

from pathlib import Path

from streamrec.dashboards.boards import files


def main() -> None:
    """Write each file and name it."""
    for name, text in files().items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"{name} written")


if __name__ == "__main__":
    main()
