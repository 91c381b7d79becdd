"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table('attempt_lanes',
        sa.Column('destination', WORD, nullable=False),
        sa.Column('profile', WORD, nullable=False),
        sa.Column('attempt', NUMBER, autoincrement=False, nullable=False),
        sa.Column('deliveries', sa.Text(), nullable=False),
        sa.Column('fields', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('destination', 'profile', 'attempt'),
        sqlite_with_rowid=False
    )
    op.create_index('ix_attempt_lanes_attempt', 'attempt_lanes', ['attempt'], unique=False)
    op.create_table('attempts',
        sa.Column('id', NUMBER, autoincrement=False, nullable=False),
        sa.Column('destination', WORD, nullable=False),
        sa.Column('token', WORD, nullable=False),
        sa.Column('number', sa.Integer(), nullable=False),
        sa.Column('step', WORD, nullable=False),
        sa.Column('method', WORD, nullable=False),
        sa.Column('path', sa.Text(), nullable=False),
        sa.Column('request', sa.Text(), nullable=False),
        sa.Column('status', sa.SmallInteger(), nullable=True),
        sa.Column('reply', sa.Text(), nullable=False),
        sa.Column('outcome', WORD, nullable=False),
        sa.Column('reason', sa.Text(), nullable=False),
        sa.Column('ambiguous', sa.Boolean(), nullable=False),
        sa.Column('key', WORD, nullable=False),
        sa.Column('started_at', NUMBER, nullable=False),
        sa.Column('ended_at', NUMBER, nullable=False),
        sa.Column('worker', WORD, nullable=False),
        sa.PrimaryKeyConstraint('id')
    )
    op.create_index('ix_attempts_destination', 'attempts', ['destination', 'id'], unique=False)
    op.create_index('ix_attempts_token', 'attempts', ['token'], unique=False)
    op.create_table('audit',
        sa.Column('id', NUMBER, autoincrement=False, nullable=False),
        sa.Column('acted_at', NUMBER, nullable=False),
        sa.Column('actor', WORD, nullable=False),
        sa.Column('action', WORD, nullable=False),
        sa.Column('target', WORD, nullable=False),
        sa.Column('reason', sa.Text(), nullable=False),
        sa.Column('detail', sa.Text(), nullable=False),
        sa.Column('hash', sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint('id')
    )
    op.create_table('deliveries',
        sa.Column('id', NUMBER, autoincrement=False, nullable=False),
        sa.Column('event_id', NUMBER, nullable=False),
        sa.Column('rule', WORD, nullable=False),
        sa.Column('destination', WORD, nullable=False),
        sa.Column('profile', WORD, nullable=False),
        sa.Column('version', sa.Text(), nullable=False),
        sa.Column('change', sa.Text(), nullable=False),
        sa.Column('state', WORD, nullable=False),
        sa.Column('reason', WORD, server_default=sa.text("''"), nullable=False),
        sa.Column('arrival', NUMBER, server_default=sa.text('0'), nullable=False),
        sa.Column('failed_at', NUMBER, nullable=True),
        sa.Column('attempt', NUMBER, nullable=True),
        sa.Column('settled_at', NUMBER, nullable=True),
        sa.Column('actor', WORD, server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint('id'),
        postgresql_with={'fillfactor': 75, 'autovacuum_vacuum_scale_factor': 0.02, 'autovacuum_analyze_scale_factor': 0.02}
    )
    op.create_index('ix_deliveries_destination', 'deliveries', ['destination', 'state', 'id'], unique=False)
    op.create_index('ix_deliveries_pending', 'deliveries', ['destination', 'profile', 'id'], unique=False, postgresql_where=sa.text("state = 'pending'"), sqlite_where=sa.text("state = 'pending'"))
    op.create_index('ix_deliveries_profile', 'deliveries', ['profile', 'id'], unique=False)
    op.create_index('ix_deliveries_state', 'deliveries', ['state', 'id'], unique=False)
    op.create_index('ux_deliveries_event', 'deliveries', ['event_id', 'rule', 'destination'], unique=True)
    op.create_table('destinations',
        sa.Column('name', WORD, nullable=False),
        sa.Column('state', WORD, server_default=sa.text("'running'"), nullable=False),
        sa.Column('reason', WORD, server_default=sa.text("''"), nullable=False),
        sa.Column('resume_at', NUMBER, server_default=sa.text('0'), nullable=False),
        sa.Column('stopped_at', NUMBER, nullable=True),
        sa.Column('stopped_us', NUMBER, server_default=sa.text('0'), nullable=False),
        sa.Column('tokens', sa.Double(), nullable=True),
        sa.Column('rate_per_s', sa.Double(), nullable=True),
        sa.Column('capacity', sa.Double(), nullable=True),
        sa.Column('drawn_at', NUMBER, server_default=sa.text('0'), nullable=False),
        sa.PrimaryKeyConstraint('name')
    )
    op.create_table('events',
        sa.Column('id', NUMBER, autoincrement=False, nullable=False),
        sa.Column('source', WORD, nullable=False),
        sa.Column('external_id', WORD, nullable=False),
        sa.Column('external_key', sa.LargeBinary(), nullable=False),
        sa.Column('type', WORD, nullable=False),
        sa.Column('occurred_at', NUMBER, nullable=False),
        sa.Column('received_at', NUMBER, nullable=False),
        sa.Column('object_version', NUMBER, server_default=sa.text('0'), nullable=False),
        sa.Column('body', sa.LargeBinary(), nullable=False),
        sa.Column('body_hash', sa.LargeBinary(), nullable=False),
        sa.Column('part', sa.Boolean(), nullable=False),
        sa.Column('headers', sa.Text(), nullable=False),
        sa.Column('query', sa.Text(), nullable=False),
        sa.Column('series', sa.Integer(), server_default=sa.text('1'), nullable=False),
        sa.Column('state', WORD, nullable=False),
        sa.Column('reason', WORD, server_default=sa.text("''"), nullable=False),
        sa.Column('revision', WORD, server_default=sa.text("''"), nullable=False),
        sa.Column('routing', sa.Integer(), server_default=sa.text('1'), nullable=False),
        sa.Column('repeats', sa.Integer(), server_default=sa.text('0'), nullable=False),
        sa.Column('conflicts', sa.Integer(), server_default=sa.text('0'), nullable=False),
        sa.PrimaryKeyConstraint('id'),
        postgresql_with={'autovacuum_vacuum_scale_factor': 0.02}
    )
    op.create_index('ix_events_received', 'events', ['state', 'source', 'id'], unique=False, postgresql_where=sa.text("state = 'received'"), sqlite_where=sa.text("state = 'received'"))
    op.create_index('ix_events_source', 'events', ['source', 'id'], unique=False)
    op.create_index('ix_events_state', 'events', ['state', 'id'], unique=False, postgresql_where=sa.text("state != 'routed'"), sqlite_where=sa.text("state != 'routed'"))
    op.create_index('ix_events_type', 'events', ['type', 'id'], unique=False)
    op.create_index('ux_events_external', 'events', ['external_key', 'source'], unique=True)
    op.create_table('lanes',
        sa.Column('destination', WORD, nullable=False),
        sa.Column('profile', WORD, nullable=False),
        sa.Column('registers', sa.Text(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column('unsure', sa.Text(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column('sending', sa.Text(), nullable=True),
        sa.Column('provider_handle', sa.Text(), nullable=True),
        sa.Column('due_at', NUMBER, nullable=True),
        sa.Column('source', WORD, server_default=sa.text("''"), nullable=False),
        sa.Column('queue', WORD, server_default=sa.text("''"), nullable=False),
        sa.Column('arrivals', NUMBER, server_default=sa.text('0'), nullable=False),
        sa.Column('leased_until', NUMBER, nullable=True),
        sa.Column('lease_boot', WORD, server_default=sa.text("''"), nullable=False),
        sa.Column('token', WORD, nullable=True),
        sa.Column('failures', sa.Integer(), server_default=sa.text('0'), nullable=False),
        sa.Column('lapses', sa.Integer(), server_default=sa.text('0'), nullable=False),
        sa.PrimaryKeyConstraint('destination', 'profile'),
        postgresql_with={'fillfactor': 75, 'autovacuum_vacuum_scale_factor': 0.01, 'autovacuum_vacuum_cost_delay': 0}
    )
    op.create_index('ix_lanes_due', 'lanes', ['destination', 'due_at'], unique=False, postgresql_where=sa.text('due_at IS NOT NULL'), sqlite_where=sa.text('due_at IS NOT NULL'))
    op.create_index('ix_lanes_profile', 'lanes', ['profile'], unique=False)
    op.create_index('ix_lanes_queue', 'lanes', ['destination', 'queue', 'due_at'], unique=False, postgresql_where=sa.text('due_at IS NOT NULL'), sqlite_where=sa.text('due_at IS NOT NULL'))
    op.create_table('lookups',
        sa.Column('key', WORD, nullable=False),
        sa.Column('profile', WORD, nullable=False),
        sa.PrimaryKeyConstraint('key', 'profile'),
        sqlite_with_rowid=False
    )
    op.create_index('ix_lookups_profile', 'lookups', ['profile'], unique=False)
    op.create_table('refusals',
        sa.Column('id', NUMBER, autoincrement=False, nullable=False),
        sa.Column('source', WORD, nullable=False),
        sa.Column('refused_at', NUMBER, nullable=False),
        sa.Column('status', sa.SmallInteger(), nullable=False),
        sa.Column('reason', WORD, nullable=False),
        sa.Column('detail', sa.Text(), nullable=False),
        sa.Column('size', sa.Integer(), nullable=False),
        sa.Column('address', WORD, nullable=False),
        sa.Column('user_agent', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('id')
    )
    op.create_index('ix_refusals_source', 'refusals', ['source', 'id'], unique=False)
