"""python -m app"""

from app.commands.cli import main

main()
