import { type ReactNode, useEffect, useId, useRef } from "react";
import { Icon } from "./icon";

/** A modal dialog of the browser, which keeps the focus and closes by Escape. */
export function Dialog({
  title,
  onClose,
  children,
  wide = false,
  closable = true,
}: {
  title: string;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
  closable?: boolean;
}) {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      className={wide ? "dialog wide" : "dialog"}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        if (closable) onClose();
      }}
    >
      <div className="dialog-head">
        <h2 id={titleId}>{title}</h2>
        {closable && (
          <button type="button" className="button bare icon" onClick={onClose} aria-label="Close">
            <Icon name="close" />
          </button>
        )}
      </div>
      <div className="dialog-body">{children}</div>
    </dialog>
  );
}

/** A question before an act that cannot be undone. With `typed`, the reader has to type it. */
export function Confirm({
  title,
  children,
  act,
  onAct,
  onClose,
  danger = false,
  busy = false,
  ready = true,
}: {
  title: string;
  children: ReactNode;
  act: string;
  onAct: () => void;
  onClose: () => void;
  danger?: boolean;
  busy?: boolean;
  ready?: boolean;
}) {
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      <div className="dialog-foot">
        <button type="button" className="button" onClick={onClose}>
          Keep as it is
        </button>
        <button
          type="button"
          className={danger ? "button primary danger" : "button primary"}
          disabled={busy || !ready}
          onClick={onAct}
        >
          {act}
        </button>
      </div>
    </Dialog>
  );
}
