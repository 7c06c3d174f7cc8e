"""``python -m clearsight``: the command line."""

from clearsight.pipelines.cli.app import main

if __name__ == "__main__":
    main()
