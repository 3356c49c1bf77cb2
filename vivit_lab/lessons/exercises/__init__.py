"""The exercises' checks, one module a notebook: `tokenisation.token_count.check(answer)`."""
