"""The tables of the importer's database. Times are microseconds since 1970, UTC. See schema.py for changes."""

import sqlalchemy as sa

metadata = sa.MetaData()
imports = sa.Table(
    "imports",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(16), nullable=False, unique=True),
    sa.Column("workspace", sa.String(63), nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("start_time", sa.BigInteger),
    sa.Column("end_time", sa.BigInteger),
    sa.Column("message", sa.Text, nullable=False, default=""),
    # The files and tasks are complete.
    sa.Column("planned", sa.Boolean, nullable=False, default=False),
    sa.Column("cancelled", sa.Boolean, nullable=False, default=False),
    sa.Column("mode", sa.Integer, nullable=False, server_default="1"),
    sa.Column("follow", sa.Boolean, nullable=False, server_default="0"),
    # JSON: what was last told of its progress.
    sa.Column("shown", sa.Text, nullable=False, server_default="{}"),
    # Numbers of the next file and task of one that follows; 0 before everything was read for the first time.
    sa.Column("next_file", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_task", sa.Integer, nullable=False, server_default="0"),
    sa.Index("imports_of_workspace", "workspace", "sequence"),
)
sources = sa.Table(
    "sources",
    metadata,
    sa.Column("import_id", sa.String(16), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    # As it was asked for, and what is read: an upload lies in the spool.
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    # Of settled tasks; of everything once the import has ended.
    sa.Column("lines", sa.BigInteger, nullable=False, default=0),
    sa.Column("bytes", sa.BigInteger, nullable=False, default=0),
    sa.Column("files", sa.BigInteger, nullable=False, default=0),
)
files = sa.Table(
    "files",
    metadata,
    sa.Column("import_id", sa.String(16), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("source", sa.Integer, nullable=False),
    # JSON strings: a path may hold bytes that are no text.
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("task", sa.Integer, nullable=False),
    # JSON: what to read of it (identity.Decision), once that is decided.
    sa.Column("decision", sa.Text),
)
done_tasks = sa.Table(
    "done_tasks",
    metadata,
    sa.Column("import_id", sa.String(16), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    # Files that were whole without a run that says so: {file: count}.
    sa.Column("whole_files", sa.Text, nullable=False),
)
splits = sa.Table(
    "splits",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("import_id", sa.String(16), nullable=False, index=True),
    sa.Column("task", sa.Integer, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("message", sa.LargeBinary, nullable=False),
    # Source id and parser state behind its last line, where that is not the end of the source.
    sa.Column("cursor", sa.Text),
    # Until then it is on disk, and search may know it or not.
    sa.Column("published", sa.Boolean, nullable=False),
)
errors = sa.Table(
    "errors",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("import_id", sa.String(16), nullable=False),
    sa.Column("source", sa.Integer, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("reason", sa.Integer, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("line", sa.BigInteger, nullable=False),
    # A second try finds the same again.
    sa.UniqueConstraint("import_id", "path", "reason"),
)
#: Texts that imports have read, for ListImportFiles.
texts = sa.Table(
    "texts",
    metadata,
    sa.Column("import_id", sa.String(16), primary_key=True),
    sa.Column("source_id", sa.String(40), primary_key=True),
    sa.Column("file", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    # JSON: what the worker said.
    sa.Column("facts", sa.Text, nullable=False),
    sa.Index("texts_by_name", "import_id", "name", "source_id"),
)
#: Files on disk that a workspace has lines of: identity.Known.
known = sa.Table(
    "known",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.String(63), nullable=False),
    # Where it was last seen; NULL when another file stands there now.
    sa.Column("path", sa.Text),
    sa.Column("device", sa.BigInteger, nullable=False),
    # As text: it can be any 64 bits.
    sa.Column("inode", sa.String(20), nullable=False),
    sa.Column("head", sa.String(64), nullable=False),
    # JSON: the rest.
    sa.Column("facts", sa.Text, nullable=False),
    sa.Index("known_by_path", "workspace", "path"),
    sa.Index("known_by_head", "workspace", "head"),
    sa.Index("known_by_inode", "workspace", "inode"),
    # A number is never used again: a decision names a row that may be gone.
    sqlite_autoincrement=True,
)
