import { type ReactNode, useEffect, useRef } from "react";

/** A button with a list of links and acts. It closes by Escape, by a click elsewhere, and after a choice. */
export function Menu({
  button,
  label,
  className,
  children,
}: {
  button: ReactNode;
  label?: string;
  className: string;
  children: (close: () => void) => ReactNode;
}) {
  const menu = useRef<HTMLDetailsElement>(null);
  const close = () => menu.current?.removeAttribute("open");
  useEffect(() => {
    const onClick = (event: Event) => {
      if (event.target instanceof Node && !menu.current?.contains(event.target)) menu.current?.removeAttribute("open");
    };
    document.addEventListener("click", onClick);
    return () => document.removeEventListener("click", onClick);
  }, []);
  return (
    <details
      className="menu"
      ref={menu}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !menu.current?.open) return;
        event.preventDefault();
        close();
        menu.current.querySelector("summary")?.focus();
      }}
    >
      <summary className={className} aria-label={label}>
        {button}
      </summary>
      <div className="menu-list">{children(close)}</div>
    </details>
  );
}
