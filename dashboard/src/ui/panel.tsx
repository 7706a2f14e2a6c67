import type { UseQueryResult } from "@tanstack/react-query";
import { Component, type ReactNode, useId } from "react";
import { ApiError } from "../api/client";
import { Code } from "./code";
import { Icon } from "./icon";
import { visible } from "./text";
import { useNow } from "./time";
import { Words } from "./words";

/** A part of a page with a heading. */
export function Panel({
  title,
  count,
  end,
  children,
  busy = false,
}: {
  title: string;
  count?: ReactNode;
  end?: ReactNode;
  children: ReactNode;
  busy?: boolean;
}) {
  const id = useId();
  return (
    <section className="panel" aria-labelledby={id} aria-busy={busy}>
      <div className="panel-head">
        <h2 id={id}>{title}</h2>
        {count !== undefined && <span className="count">{count}</span>}
        {end && <div className="end">{end}</div>}
      </div>
      <Boundary>{children}</Boundary>
    </section>
  );
}

interface BoundaryProps {
  children: ReactNode;
  path?: string;
  onRetry?: () => void;
}

/** Keeps a defect of one part from taking the others along. Another path is another try. */
export class Boundary extends Component<BoundaryProps, { error: unknown }> {
  override state: { error: unknown } = { error: null };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override componentDidUpdate(before: BoundaryProps) {
    if (before.path !== this.props.path && this.state.error !== null) this.setState({ error: null });
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <ErrorMessage error={this.state.error} onRetry={this.props.onRetry ?? (() => this.setState({ error: null }))} />
    );
  }
}

/** The place of content that is not there yet, in about its size. */
export function Skeleton({ lines = 4 }: { lines?: number }) {
  return (
    <div className="skeleton" aria-hidden="true">
      {Array.from({ length: lines }, (_, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines are all alike
        <i key={at} />
      ))}
    </div>
  );
}

/** A message that nothing is there, and the next step. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="message">
      <strong>{title}</strong>
      {children}
    </div>
  );
}

/** An error with its reason and the way on. */
export function ErrorMessage({ error, onRetry }: { error: unknown; onRetry?: (() => void) | undefined }) {
  const known = error instanceof ApiError ? error : null;
  const title =
    known === null
      ? "This part of the page has a defect"
      : known.status === 403
        ? "Your key does not allow this"
        : known.status === 404
          ? "Not found"
          : known.status === 0
            ? "No connection"
            : "That did not work";
  const errors = known?.problem?.errors ?? [];
  return (
    <div className="message error" role="alert">
      <span className="title">
        <Icon name="warning" />
        {title}
        {known && <code className="tag">{known.code}</code>}
      </span>
      <p>
        {known?.problem?.line != null && `Line ${known.problem.line}: `}
        <Words text={error instanceof Error ? error.message : String(error)} length={4_000} />
      </p>
      {errors.length > 1 && (
        <ul className="note">
          {errors.slice(0, 20).map((each) => (
            <li key={`${each.pointer ?? each.line ?? ""}${each.detail}`}>
              {each.line != null && `line ${each.line}: `}
              <Words text={each.detail} length={2_000} />
            </li>
          ))}
        </ul>
      )}
      {known?.status !== 403 && known?.status !== 404 && onRetry && (
        <button type="button" className="button small" onClick={onRetry}>
          <Icon name="retry" size={13} />
          Try again
          {known?.retryAfter != null && ` (best after ${known.retryAfter} s)`}
        </button>
      )}
    </div>
  );
}

/** The content of a panel: its data, also old ones while new ones come or fail to come, and until then a skeleton. */
export function Loaded<T>({
  query,
  children,
  lines,
}: {
  query: UseQueryResult<T, Error>;
  children: (data: T) => ReactNode;
  lines?: number;
}) {
  if (query.data === undefined) {
    if (query.error) return <ErrorMessage error={query.error} onRetry={() => query.refetch()} />;
    return <Skeleton {...(lines === undefined ? {} : { lines })} />;
  }
  return (
    <>
      <StaleNote query={query} />
      {children(query.data)}
    </>
  );
}

/** The age of data that could not be renewed, and the reason. */
export function StaleNote({ query }: { query: Pick<UseQueryResult<unknown, Error>, "error" | "dataUpdatedAt"> }) {
  const now = useNow();
  if (!query.error) return null;
  const age = Math.max(1, Math.round((now - query.dataUpdatedAt) / 1000));
  return (
    <p className="note panel-body" role="status">
      <Icon name="warning" size={13} /> Shown as it was {age} s ago: {visible(query.error.message)}
    </p>
  );
}

/** An empty state whose next step is a command. */
export function Command({ text }: { text: string }) {
  return (
    <div style={{ width: "100%", maxWidth: 640 }}>
      <Code text={text} label="command" />
    </div>
  );
}
