"""`python -m appliance.cli`: the `softena` program, wherever its script is installed."""

from appliance.cli import main

main()
