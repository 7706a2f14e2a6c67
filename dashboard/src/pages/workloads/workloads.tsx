import { Link } from "wouter";
import { useWorkloads } from "../../api/queries";
import { PageHead } from "../../ui/page";
import { Command, Empty, Loaded } from "../../ui/panel";
import { State } from "../../ui/state";
import { countOf, excerpt } from "../../ui/text";
import { Words } from "../../ui/words";

export default function Workloads() {
  const query = useWorkloads();
  return (
    <>
      <PageHead
        title="Workloads"
        tab="Workloads"
        lead="Functions that workers have announced. A batch runs one of them on each of its items."
      />
      <Loaded query={query} lines={6}>
        {({ workloads }) =>
          workloads.length === 0 ? (
            <Empty title="No worker has announced a workload">
              <p>Workers announce theirs within seconds after they start.</p>
              <Command text="python -m services.worker" />
            </Empty>
          ) : (
            <div className="cards-grid">
              {workloads.map((workload) => (
                <Link key={workload.name} href={`/workloads/${workload.name}`} className="card" data-row="">
                  <span className="between">
                    <h2>{excerpt(workload.title || workload.name, 60)}</h2>
                    <State name={workload.workers === 0 ? "absent" : "active"} />
                  </span>
                  <p className="quiet">
                    <Words text={workload.description} length={220} />
                  </p>
                  <span className="foot">
                    <code>{workload.name}</code>
                    <span>version {excerpt(workload.version, 20)}</span>
                    {workload.workers != null && <span>{countOf(workload.workers, "worker")}</span>}
                  </span>
                </Link>
              ))}
            </div>
          )
        }
      </Loaded>
    </>
  );
}
