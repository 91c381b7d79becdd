"""What rules ran last, and the shapes of what arrives."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table('revisions',
        sa.Column('revision', WORD, nullable=False),
        sa.Column('files', sa.Text(), nullable=False),
        sa.Column('loaded_at', NUMBER, nullable=False),
        sa.Column('loaded_by', WORD, nullable=False),
        sa.PrimaryKeyConstraint('revision'),
        sqlite_with_rowid=False
    )
    op.create_index('ix_revisions_loaded', 'revisions', ['loaded_at'], unique=False)
    op.create_table('shapes',
        sa.Column('source', WORD, nullable=False),
        sa.Column('type', WORD, nullable=False),
        sa.Column('day', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('path', WORD, nullable=False),
        sa.Column('kind', WORD, nullable=False),
        sa.Column('n', NUMBER, server_default=sa.text('0'), nullable=False),
        sa.PrimaryKeyConstraint('source', 'type', 'day', 'path', 'kind'),
        sqlite_with_rowid=False
    )
    op.create_index('ix_audit_action', 'audit', ['action', 'id'], unique=False)
