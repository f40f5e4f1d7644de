"""Migrations, as Beanie runs them: the files whose names do not begin with an underscore, by their names."""
