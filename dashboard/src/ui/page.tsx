import { type ReactNode, useEffect } from "react";
import { Link } from "wouter";
import { Icon } from "./icon";

/** The heading of a page, which is also the title of the tab. */
export function PageHead({
  title,
  tab,
  lead,
  back,
  children,
}: {
  title: ReactNode;
  tab: string;
  lead?: ReactNode;
  back?: [path: string, words: string];
  children?: ReactNode;
}) {
  useEffect(() => {
    document.title = `${tab} · Batchyard`;
  }, [tab]);
  return (
    <div className="head">
      <div className="head-text">
        {back && (
          <Link href={back[0]} className="crumb">
            <Icon name="back" size={13} />
            {back[1]}
          </Link>
        )}
        <h1>{title}</h1>
        {lead && <p className="lead">{lead}</p>}
      </div>
      {children && <div className="row">{children}</div>}
    </div>
  );
}

/** A button that says which scope is missing, rather than to be hidden. */
export function ScopedButton({
  allowed,
  why,
  onClick,
  children,
  className = "button",
  title,
}: {
  allowed: boolean;
  why: string;
  onClick: () => void;
  children: ReactNode;
  className?: string;
  title?: string | undefined;
}) {
  return (
    <button
      type="button"
      className={className}
      aria-disabled={!allowed}
      title={allowed ? title : why}
      onClick={() => {
        if (allowed) onClick();
      }}
    >
      {children}
    </button>
  );
}

export function Field({
  id,
  label,
  hint,
  wrong,
  wide = false,
  children,
}: {
  id: string;
  label: ReactNode;
  hint?: ReactNode;
  wrong?: string | undefined;
  wide?: boolean;
  children: ReactNode;
}) {
  return (
    <div className={wide ? "field wide" : "field"}>
      <label htmlFor={id}>{label}</label>
      {children}
      {hint && (
        <span className="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
      {wrong && (
        <span className="wrong" id={`${id}-wrong`}>
          {wrong}
        </span>
      )}
    </div>
  );
}
