"""One of several processes that train a network: ``torchrun --nproc-per-node 4 -m clearsight.train RECIPE``.

It takes the options of ``clearsight train``, which starts such processes itself on one machine
(``--processes``).
Not to be imported: ``clearsight.train`` is the function that trains in one process.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from clearsight.pipelines.cli.app import main

    main(["train", "--as-rank", *sys.argv[1:]])
