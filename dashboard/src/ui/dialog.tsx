import { type ReactNode, useId, useLayoutEffect, useRef } from "react";
import { Icon } from "./icon";

/** The properties of a modal dialog of the browser, which keeps the focus, and gives it back when it closes. */
export function useModal(onClose: () => void, closable = true) {
  const element = useRef<HTMLDialogElement>(null);
  // An effect of layout: a dialog that has left the page gives no focus back.
  useLayoutEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return {
    ref: element,
    onCancel: (event: { preventDefault: () => void }) => {
      event.preventDefault();
      if (closable) onClose();
    },
    // Browsers close a dialog at the second Escape, whatever the first one did.
    onClose: () => {
      if (element.current === null) return;
      if (closable) onClose();
      else element.current.showModal();
    },
  };
}

/** A modal dialog, which closes by Escape unless the reader has to act first. */
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
  const modal = useModal(onClose, closable);
  const titleId = useId();
  return (
    <dialog {...modal} className={wide ? "dialog wide" : "dialog"} aria-labelledby={titleId}>
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

/** A question before an act that cannot be undone. */
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
