/** What a test made and must undo: last in, first out; every step runs, whatever the others did. */
export class Cleanup {
  private readonly steps: { readonly name: string; readonly undo: () => Promise<void> | void }[] = [];

  defer(name: string, undo: () => Promise<void> | void): void {
    this.steps.push({ name, undo });
  }

  /** Throws one error with all failures at the end. A second call does nothing. */
  async run(): Promise<void> {
    const failures: Error[] = [];
    for (let step = this.steps.pop(); step !== undefined; step = this.steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        failures.push(new Error(`clean-up of ${step.name}`, { cause: error }));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map((failure) => `${failure.message}: ${String(failure.cause)}`).join('; '));
  }
}
